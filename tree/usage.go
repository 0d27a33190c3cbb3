package tree

import (
	"errors"
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
	c := counter{seen: map[uint64]bool{}}
	c.walker = walker{base: path, enter: c.directory}
	err = c.walk(fd)
	return c.bytes, err
}

const blockSize = 512 // of st_blocks, whatever the file system's is (stat(2))

type counter struct {
	walker
	device uint64
	seen   map[uint64]bool // files with several names
	bytes  int64
}

// directory counts the directory and what is in it that is no directory.
func (c *counter) directory(dir int, stat *unix.Stat_t) ([]string, error) {
	if len(c.stack) == 1 {
		c.device = stat.Dev
	}
	if stat.Dev != c.device {
		return nil, nil
	}
	c.bytes += stat.Blocks * blockSize
	var below []string
	err := c.readEntries(dir, func(name string) error {
		isDir, err := c.entry(dir, name)
		if isDir {
			below = append(below, name)
		}
		return err
	})
	return below, err
}

// entry counts what is no directory, and tells of a directory.
func (c *counter) entry(dir int, name string) (isDir bool, err error) {
	var stat unix.Stat_t
	err = unix.Fstatat(dir, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, c.complaint("stat", name, err)
	}
	switch {
	case stat.Dev != c.device || c.seen[stat.Ino]:
		return false, nil
	case stat.Mode&unix.S_IFMT == unix.S_IFDIR:
		return true, nil
	case stat.Nlink > 1:
		c.seen[stat.Ino] = true
	}
	c.bytes += stat.Blocks * blockSize
	return false, nil
}
