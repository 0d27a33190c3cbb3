package image

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// inherit gives a layer's implied directories the owner, mode, times and
// attributes that they have in the layers below. In an overlay a directory
// looks as in the uppermost layer that has it, so without this a layer with
// tmp/x and no entry for tmp would make /tmp 0755. lowers are the directories
// of those layers, lowest first.
func (t *tree) inherit(lowers []string) error {
	for _, name := range t.implied {
		for i := len(lowers) - 1; i >= 0; i-- {
			found, hidden, err := inheritFrom(lowers[i], t.dir, name)
			if err != nil {
				return fmt.Errorf("take over %s from the layer below: %w", name, err)
			}
			if found || hidden {
				break
			}
		}
	}
	return nil
}

// inheritFrom copies what the directory name is in the layer at lower. hidden
// says that the layer has something else there, or hides what is below it.
func inheritFrom(lower, dir, name string) (found, hidden bool, err error) {
	source, hidden, err := openDirectory(lower, name)
	if source == nil || err != nil {
		return false, hidden, err
	}
	defer source.Close()
	// No symlinks can be in the way: the unpacker made each part of the path.
	target, _, err := openDirectory(dir, name)
	if target == nil || err != nil {
		return true, false, err
	}
	defer target.Close()
	return true, false, copyAttributes(int(source.Fd()), int(target.Fd()))
}

// openDirectory walks to a directory without following a link. It returns nil
// where there is no such directory; hidden is true where something in this
// layer keeps layers below it from having one.
func openDirectory(root, name string) (dir *os.File, hidden bool, err error) {
	at := unix.AT_FDCWD
	path := root
	for _, part := range append([]string{root}, strings.Split(name, "/")...) {
		fd, err := unix.Openat(at, part, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) && dir != nil {
			hidden = isOpaque(at)
		}
		if dir != nil {
			dir.Close()
		}
		switch {
		case errors.Is(err, unix.ENOENT):
			return nil, hidden, nil
		case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
			return nil, true, nil
		case err != nil:
			return nil, false, &os.PathError{Op: "open", Path: filepath.Join(path, part), Err: err}
		}
		if part != root {
			path = filepath.Join(path, part)
		}
		dir, at = os.NewFile(uintptr(fd), path), fd
	}
	return dir, false, nil
}

func isOpaque(fd int) bool {
	var value [1]byte
	n, err := unix.Fgetxattr(fd, opaqueXattr, value[:])
	return err == nil && n == 1 && value[0] == 'y'
}

func copyAttributes(from, to int) error {
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if err := unix.Fchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return os.NewSyscallError("fchown", err)
	}
	if err := unix.Fchmod(to, st.Mode&0o7777); err != nil {
		return os.NewSyscallError("fchmod", err)
	}
	if err := copyXattrs(from, to); err != nil {
		return err
	}
	return os.NewSyscallError("utimensat", unix.UtimesNanoAt(to, ".", []unix.Timespec{st.Atim, st.Mtim}, 0))
}

// copyXattrs leaves out trusted.*: those say how overlayfs reads the one layer
// that has them.
func copyXattrs(from, to int) error {
	names := make([]byte, 64<<10) // the kernel's limit of a list (xattr(7))
	n, err := unix.Flistxattr(from, names)
	if errors.Is(err, unix.ENOTSUP) || n == 0 && err == nil {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("flistxattr", err)
	}
	value := make([]byte, 64<<10)
	for name := range bytes.SplitSeq(bytes.TrimSuffix(names[:n], []byte{0}), []byte{0}) {
		key := string(name)
		if strings.HasPrefix(key, "trusted.") {
			continue
		}
		n, err := unix.Fgetxattr(from, key, value)
		if err != nil {
			return os.NewSyscallError("fgetxattr", err)
		}
		if err := unix.Fsetxattr(to, key, value[:n], 0); err != nil {
			return os.NewSyscallError("fsetxattr", err)
		}
	}
	return nil
}
