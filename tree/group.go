package tree

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"podrun/step"
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
	defer step.Change("give tree to group")()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	if onMismatch && matches(fd, gid) {
		return unix.Close(fd)
	}
	g := giver{gid: gid}
	g.walker = walker{base: path, enter: g.directory, leave: func(dir int) error {
		return tolerate(GiveFile(dir, path, gid))
	}}
	return g.walk(fd)
}

func matches(root, gid int) bool {
	const wanted = groupWrites | groupDirectory
	var stat unix.Stat_t
	return unix.Fstat(root, &stat) == nil && int(stat.Gid) == gid && stat.Mode&wanted == wanted
}

type giver struct {
	walker
	gid int
}

// directory gives what is in the directory to the group, but for directories.
func (g *giver) directory(dir int, _ *unix.Stat_t) ([]string, error) {
	var below []string
	err := g.readEntries(dir, func(name string) error {
		isDir, err := g.entry(dir, name)
		if isDir {
			below = append(below, name)
		}
		return err
	})
	return below, err
}

// entry gives what is no directory, and tells of a directory. Nothing but a
// directory is opened for more than its name: to open a device is to use it.
func (g *giver) entry(dir int, name string) (isDir bool, err error) {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return false, nil // somebody removed it
	}
	if err != nil {
		return false, g.complaint("open", name, err)
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return false, g.complaint("fstat", name, err)
	}
	if stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		return true, nil
	}
	return false, tolerate(GiveFile(fd, name, g.gid))
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
