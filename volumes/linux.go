package volumes

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// isMountPoint reports whether a mount of this namespace has its root at the
// path, without following a link there. It is exact also for binds within one
// file system, which a comparison of device numbers misses.
func isMountPoint(path string) (bool, error) {
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, 0, &stat); err != nil {
		return false, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	if stat.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return false, errors.New("tell mount points apart: the kernel does not: use Linux 5.8 or later")
	}
	return stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}

// bindDescriptor mounts what the descriptor refers to, without the mounts
// beneath it, at the path. No name of the source is looked up again, so nobody
// can exchange it meanwhile.
func bindDescriptor(source int, target string) error {
	tree, err := unix.OpenTree(source, "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("open_tree", err)
	}
	defer unix.Close(tree)
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "move_mount", Path: target, Err: err}
	}
	return nil
}
