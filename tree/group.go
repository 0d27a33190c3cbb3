package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// The rights that a group gets over what is given to it (kubelet,
// pkg/volume/volume_linux.go). The group of what is made in a directory later is
// the directory's.
const (
	groupWrites    = 0o660
	groupDirectory = 0o110 | unix.S_ISGID
)

// Give gives all of a tree to the group: what is in a directory before
// the directory itself, so that a root that matches tells that all was done.
// With onMismatch such a root is left alone. Containers of other pods may change
// the tree meanwhile: everything is changed by descriptor and no link is followed.
func Give(path string, gid int, onMismatch bool) error {
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
	return tolerate(GiveFile(fd, path, gid))
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
	return tolerate(GiveFile(fd, path, gid))
}

// tolerate lets a file be that forbids to be changed, or lies on what is mounted
// read-only: the kubelet does not refuse the volume for it.
func tolerate(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS) {
		return nil
	}
	return err
}

// GiveFile gives the open file to the group; path names it in errors. A link has no mode of its own. The change
// of the group takes setgid off a program: the mode is that of before.
func GiveFile(fd int, path string, gid int) error {
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
