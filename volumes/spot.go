package volumes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// spot is where a path leads to: seen in the mount namespace of this thread, and
// inside its file system, whichever of its mounts led there.
type spot struct {
	path      string
	device    string // of the file system
	inside    string // from its root; empty if the mount is of another namespace
	ids       []id   // of what it is, and of all directories above it
	directory bool
	missing   bool // the path is not there: this is the nearest directory that is
}

// id is a file's.
type id struct{ dev, ino uint64 }

func spotOf(path string) (spot, error) {
	missing := false
	for {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)) && path != "/" && path != "." {
			path, missing = filepath.Dir(path), true
			continue
		}
		if err != nil {
			return spot{}, &os.PathError{Op: "open", Path: path, Err: err}
		}
		defer unix.Close(fd)
		at, err := spotAt(fd)
		if err == nil && !at.directory {
			// Of a file the way up is that of its name.
			if dir, err := spotOf(filepath.Dir(path)); err == nil {
				at.ids = append(at.ids, dir.ids...)
			}
		}
		at.missing = missing
		return at, err
	}
}

// spotAt looks at an open file.
func spotAt(fd int) (at spot, err error) {
	if at.path, err = os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err != nil {
		return at, err
	}
	if at.ids, at.directory, err = lineage(fd); err != nil {
		return at, err
	}
	m, err := mountOf(fd)
	if errors.Is(err, errMountElsewhere) {
		return at, nil
	}
	if err != nil {
		return at, fmt.Errorf("find the mount of %s: %w", at.path, err)
	}
	if rest, err := filepath.Rel(m.Mountpoint, at.path); err == nil && filepath.IsLocal(rest) {
		at.device, at.inside = fmt.Sprintf("%d:%d", m.Major, m.Minor), filepath.Join(m.Root, rest)
	}
	return at, nil
}

var errMountElsewhere = errors.New("its mount is of another namespace")

// mountOf finds the mount of an open file in the mount namespace of this thread.
func mountOf(fd int) (*mountinfo.Info, error) {
	var stat unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &stat); err != nil {
		return nil, os.NewSyscallError("statx", err)
	}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		same := uint64(m.ID) == stat.Mnt_id
		return !same, same
	})
	if err != nil {
		return nil, err
	}
	if len(mounts) == 0 {
		return nil, errMountElsewhere
	}
	return mounts[0], nil
}

// maxLineage bounds the way up, which a rename meanwhile could make endless.
const maxLineage = 4096

// lineage is what identifies an open file and, if it is a directory, every directory
// above it, as far as its mount and those that hold it go.
func lineage(fd int) (ids []id, directory bool, err error) {
	up, err := unix.Dup(fd)
	if err != nil {
		return nil, false, os.NewSyscallError("dup", err)
	}
	defer func() { unix.Close(up) }()
	for len(ids) < maxLineage {
		var stat unix.Stat_t
		if err := unix.Fstat(up, &stat); err != nil {
			return nil, false, os.NewSyscallError("fstat", err)
		}
		own := id{stat.Dev, stat.Ino}
		if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
			return []id{own}, false, nil
		}
		if len(ids) > 0 && ids[len(ids)-1] == own {
			break // the root
		}
		ids = append(ids, own)
		next, err := unix.Openat(up, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, false, os.NewSyscallError("openat", err)
		}
		unix.Close(up)
		up = next
	}
	return ids, true, nil
}

// within reports whether it is the other, or below it.
func (s spot) within(other spot) bool {
	known := s.inside != "" && other.inside != ""
	if known && (isBelow(s.path, other.path) || s.device == other.device && isBelow(s.inside, other.inside)) {
		return true
	}
	return len(other.ids) > 0 && slices.Contains(s.ids, other.ids[0])
}

func isBelow(path, dir string) bool {
	rest, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rest)
}
