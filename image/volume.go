package image

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// MountReadOnly mounts what the image holds at target, a directory, for reading
// only and not to be executed. dir is made if it is missing; several mounts may
// share it. Like that of Mount the mount is plain, and found where it exists.
func MountReadOnly(img *Image, target, dir string) error {
	if mounted, err := isMount(target); mounted || err != nil {
		return err
	}
	empty := filepath.Join(dir, "empty")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := makeDirectory(empty); err != nil {
		return err
	}
	if len(img.Layers) == 0 {
		return bindReadOnly(empty, target)
	}
	// Without an upper directory overlayfs wants two lower ones.
	var lowers []string
	for i := len(img.Layers) - 1; i >= 0; i-- {
		lowers = append(lowers, img.Layers[i])
	}
	err := mountOverlay(append(lowers, empty), target, "")
	if errors.Is(err, unix.ENOENT) {
		err = cmp.Or(img.lostLayer(), err)
	}
	if err != nil {
		return fmt.Errorf("mount image volume: %w", err)
	}
	return nil
}

// MountReadOnlyFor is MountReadOnly as MountFor is Mount. dir is of this mount alone.
func MountReadOnlyFor(owner Owner, img *Image, target, dir string) error {
	if mounted, err := isMount(target); mounted || err != nil {
		return err
	}
	empty := filepath.Join(dir, "empty")
	if err := prepareMapped(owner, dir, len(img.Layers)+1); err != nil {
		return err
	}
	if err := makeDirectory(empty); err != nil {
		return err
	}
	var lowers []string
	for i := len(img.Layers) - 1; i >= 0; i-- {
		lowers = append(lowers, img.Layers[i])
	}
	if len(lowers) == 0 {
		return bindReadOnly(empty, target)
	}
	tree, err := mappedOverlay(owner, append(lowers, empty), dir, "")
	if err != nil {
		return fmt.Errorf("mount image volume: %w", err)
	}
	defer unix.Close(tree)
	attributes := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOEXEC}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attributes); err != nil {
		return os.NewSyscallError("mount_setattr", err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "move_mount", Path: target, Err: err}
	}
	return nil
}

func bindReadOnly(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return &os.PathError{Op: "bind", Path: target, Err: err}
	}
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOEXEC, ""); err != nil {
		return &os.PathError{Op: "remount read-only", Path: target, Err: err}
	}
	return nil
}

// isMount reports whether something is mounted at the path itself.
func isMount(path string) (bool, error) {
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &stat); err != nil {
		return false, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	return stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}
