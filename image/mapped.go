package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"podrun/thread"
)

// Owner is a user namespace in which a root filesystem is to be owned by root:
// the namespace, and the machine's id that is root there.
type Owner struct {
	Namespace *os.File
	Root      int
}

// MountFor is Mount for a container in a user namespace of its own: every id of
// the image is that id there. An overlay cannot be id-mapped, its layers can
// (Linux 5.19): they are mounted for a moment, in a mount namespace that ends
// with the call. What the container changes is written to dir/upper with the
// machine's ids of its users.
func MountFor(owner Owner, img *Image, target, dir string) error {
	if mounted, err := isOverlay(target); mounted || err != nil {
		return err
	}
	lowers, err := prepareMount(img, dir)
	if err == nil {
		err = prepareMapped(owner, dir, len(lowers))
	}
	if err != nil {
		return fmt.Errorf("prepare root filesystem: %w", err)
	}
	tree, err := mappedOverlay(owner, lowers, dir, ",upperdir=../upper,workdir=../work,"+overlayOptions)
	if err != nil {
		return fmt.Errorf("mount root filesystem: %w", err)
	}
	defer unix.Close(tree)
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "mount root filesystem", Path: target, Err: err}
	}
	return nil
}

// Where MountFor puts the mapped layers, by number, and the overlay, below dir.
const (
	layersDir    = "layers"
	overlayPoint = "overlay"
)

func prepareMapped(owner Owner, dir string, layers int) error {
	for i := range layers {
		if err := os.MkdirAll(filepath.Join(dir, layersDir, strconv.Itoa(i)), 0o700); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, overlayPoint), 0o700); err != nil {
		return err
	}
	upper := filepath.Join(dir, "upper")
	if err := os.Chown(upper, owner.Root, owner.Root); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil // nothing is written
}

// mappedOverlay returns a descriptor of the mounted overlay, which is attached
// nowhere. The options follow those that name the layers.
func mappedOverlay(owner Owner, lowers []string, dir, options string) (tree int, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return -1, err
	}
	err = thread.Run(func() error {
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return &os.PathError{Op: "make private", Path: "/", Err: err}
		}
		if err := unix.Chdir(filepath.Join(dir, layersDir)); err != nil {
			return &os.PathError{Op: "chdir", Path: dir, Err: err}
		}
		names := make([]string, len(lowers))
		for i, lower := range lowers {
			names[i] = strconv.Itoa(i)
			if err := mapLayer(owner, lower, names[i]); err != nil {
				return err
			}
		}
		tree, err = overlayTree(names, options)
		return err
	})
	return tree, err
}

// overlayTree mounts the layers of the working directory.
func overlayTree(names []string, options string) (int, error) {
	options = "lowerdir=" + strings.Join(names, ":") + options
	if len(options) >= os.Getpagesize() {
		return -1, fmt.Errorf("%d layers do not fit into one page of mount options", len(names))
	}
	const point = "../" + overlayPoint
	if err := mount(point, options, 0); errors.Is(err, unix.EINVAL) {
		return -1, fmt.Errorf("%w: a user namespace of the pod's own needs id-mapped layers of an overlay, of Linux 5.19 or later; leave hostUsers out on this machine", err)
	} else if err != nil {
		return -1, err
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, point, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	return tree, os.NewSyscallError("open_tree", err)
}

// mapLayer mounts a layer at the point with the ids of the user namespace.
func mapLayer(owner Owner, layer, point string) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, layer, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("find layer %s: %w; %s", layer, err, repairHint)
	}
	if err != nil {
		return &os.PathError{Op: "open_tree", Path: layer, Err: err}
	}
	defer unix.Close(tree)
	err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(owner.Namespace.Fd()),
	})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("map the ids of layer %s: %w: its filesystem cannot be id-mapped on this kernel; put --root on ext4, xfs or btrfs, or leave hostUsers out", layer, err)
	}
	if err != nil {
		return &os.PathError{Op: "mount_setattr", Path: layer, Err: err}
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, point, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "move_mount", Path: layer, Err: err}
	}
	return nil
}
