package volumes

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"

	"podrun/step"
	"podrun/tree"
)

// CopyUp fills an empty directory with what an image has at a path of its own,
// modes, owners and attributes included, as containerd does for a VOLUME of the
// image. Links of the image are followed inside its root only. An image that has
// no such directory leaves it empty. A directory that holds something is left
// alone: it was filled before.
func CopyUp(rootfs, path, dir string) error {
	defer step.Change("copy up")()
	have, err := os.ReadDir(dir)
	if err != nil || len(have) > 0 {
		return err
	}
	root, err := unix.Open(rootfs, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: rootfs, Err: err}
	}
	defer unix.Close(root)
	fd, err := tree.OpenAt(root, strings.TrimLeft(path, "/"), unix.O_RDONLY|unix.O_DIRECTORY, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// The trailing dot makes it the directory and not the link to it.
	return fs.CopyDir(dir, fmt.Sprintf("/proc/self/fd/%d/.", fd))
}
