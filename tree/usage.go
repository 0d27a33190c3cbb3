package tree

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Usage is what a directory of the host and all that it holds occupy on disk, in
// bytes, as du(1) and the kubelet count: by blocks, a file with several names
// once, nothing of another file system. Nothing there is 0. Containers may change
// the tree meanwhile: no link is followed, and what has gone is left out.
func Usage(path string) (int64, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var top unix.Stat_t
	if err := unix.Fstat(fd, &top); err != nil {
		unix.Close(fd)
		return 0, &os.PathError{Op: "fstat", Path: path, Err: err}
	}
	c := counter{device: top.Dev, seen: map[uint64]bool{}, bytes: top.Blocks * blockSize}
	err = c.directory(os.NewFile(uintptr(fd), path))
	return c.bytes, err
}

const (
	blockSize  = 512 // of st_blocks, whatever the file system's is (stat(2))
	entryBatch = 512 // names read at once: a directory may hold millions
)

type counter struct {
	device uint64
	seen   map[uint64]bool // files with several names
	bytes  int64
}

// directory counts what is in the directory, and closes it.
func (c *counter) directory(dir *os.File) error {
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(entryBatch)
		for _, name := range names {
			if err := c.entry(dir, name); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *counter) entry(dir *os.File, name string) error {
	var stat unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "stat", Path: dir.Name() + "/" + name, Err: err}
	}
	isDir := stat.Mode&unix.S_IFMT == unix.S_IFDIR
	if stat.Dev != c.device || !isDir && c.seen[stat.Ino] {
		return nil
	}
	if !isDir && stat.Nlink > 1 {
		c.seen[stat.Ino] = true
	}
	c.bytes += stat.Blocks * blockSize
	if !isDir {
		return nil
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil // somebody has put something else in its place
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: dir.Name() + "/" + name, Err: err}
	}
	return c.directory(os.NewFile(uintptr(fd), dir.Name()+"/"+name))
}
