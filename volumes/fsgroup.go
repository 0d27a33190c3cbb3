package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// The rights that the pod's fsGroup gets over everything in a volume, besides
// being its group (kubelet, pkg/volume/volume_linux.go). The group of what is
// made in a directory later is the directory's.
const (
	groupWrites    = 0o660
	groupDirectory = 0o110 | unix.S_ISGID
	groupReads     = 0o440 // of what is projected
)

// noGroup stands for a pod without an fsGroup.
const noGroup = -1

// fsGroup is the pod's, or noGroup.
func (s *Spec) fsGroup() int {
	if sc := s.Pod.Spec.SecurityContext; sc != nil && sc.FSGroup != nil {
		return int(*sc.FSGroup)
	}
	return noGroup
}

// letGroupRead gives the pod's fsGroup the right to read what is projected,
// whatever mode it was asked for with. Its group the file gets from the
// directory that it is made in.
func (s *Spec) letGroupRead(files []projected) {
	if s.fsGroup() == noGroup {
		return
	}
	for i := range files {
		files[i].mode |= groupReads
	}
}

// giveToGroup makes the pod's fsGroup the group of a volume that was there
// before the pod, as fsGroupChangePolicy says, once in the life of the pod: a
// later monitor must not undo what containers did to modes and groups.
func (s *Spec) giveToGroup(volume, path string) error {
	gid := s.fsGroup()
	if gid == noGroup {
		return nil
	}
	marker := filepath.Join(s.Dir, "."+volume+".given")
	if _, err := os.Lstat(marker); err == nil {
		return nil
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	onMismatch := false
	if policy := s.Pod.Spec.SecurityContext.FSGroupChangePolicy; policy != nil {
		onMismatch = *policy == v1.FSGroupChangeOnRootMismatch
	}
	if err := changeGroup(path, gid, onMismatch); err != nil {
		return fmt.Errorf("give the volume to fsGroup %d: %w", gid, err)
	}
	return os.WriteFile(marker, nil, 0o600)
}

// changeGroup gives all of a tree to the group: what is in a directory before
// the directory itself, so that a root that matches tells that all was done.
// With onMismatch such a root is left alone. Containers of other pods may change
// the tree meanwhile: everything is changed by descriptor and no link is followed.
func changeGroup(path string, gid int, onMismatch bool) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if onMismatch {
		var root unix.Stat_t
		if err := unix.Fstat(fd, &root); err != nil {
			return &os.PathError{Op: "fstat", Path: path, Err: err}
		}
		const wanted = groupWrites | groupDirectory
		if int(root.Gid) == gid && root.Mode&wanted == wanted {
			return nil
		}
	}
	return changeDirectory(fd, path, gid)
}

// changeDirectory gives the directory's entries to the group, and then itself.
func changeDirectory(fd int, path string, gid int) error {
	// Reading goes through a descriptor of its own, which os.File may close.
	again, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	dir := os.NewFile(uintptr(again), path)
	names, err := dir.Readdirnames(-1)
	dir.Close()
	if err != nil {
		return err
	}
	for _, name := range names {
		err := changeEntry(fd, name, filepath.Join(path, name), gid)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // somebody removed it
			return err
		}
	}
	return grant(fd, path, gid)
}

func changeEntry(dir int, name, path string, gid int) error {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		return changeDirectory(fd, path, gid)
	}
	if !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	// Nothing but a directory is opened for more than its name: to open a device
	// is to use it.
	fd, err = unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	return grant(fd, path, gid)
}

// grant gives one file to the group. A link has no mode of its own. The change
// of the group takes setgid off a program: the mode is that of before.
func grant(fd int, path string, gid int) error {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return &os.PathError{Op: "fstat", Path: path, Err: err}
	}
	if int(stat.Gid) != gid {
		if err := unix.Fchownat(fd, "", -1, gid, unix.AT_EMPTY_PATH); err != nil {
			return &os.PathError{Op: "chown", Path: path, Err: err}
		}
	}
	mode := stat.Mode&^unix.S_IFMT | groupWrites
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return nil
	case unix.S_IFDIR:
		mode |= groupDirectory
	}
	// fchmod(2) refuses an O_PATH descriptor; its link in /proc leads to the file itself.
	if err := unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode); err != nil {
		return &os.PathError{Op: "chmod", Path: path, Err: err}
	}
	return nil
}
