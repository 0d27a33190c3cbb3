package volumes

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Mappable tells whether what is at the path can be mounted with the ids of a user
// namespace (mount_setattr(2), MOUNT_ATTR_IDMAP), by doing so with a copy of the
// mount that nobody sees. The error names the file system.
func Mappable(path string, users *os.File) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return &os.PathError{Op: "open_tree", Path: path, Err: err}
	}
	defer unix.Close(tree)
	err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd()),
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("the file system at %s (%s) cannot be id-mapped on this kernel%s", path, fileSystem(path), since(path))
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("the mount at %s is id-mapped already", path)
	}
	return &os.PathError{Op: "mount_setattr", Path: path, Err: err}
}

// fileSystems are those that machines have and that older kernels, or all, refuse
// to map. since is the first version that does.
var fileSystems = map[int64]struct{ name, since string }{
	unix.TMPFS_MAGIC:           {"tmpfs", "6.3"},
	unix.OVERLAYFS_SUPER_MAGIC: {"overlay", ""},
	unix.NFS_SUPER_MAGIC:       {"nfs", ""},
	unix.FUSE_SUPER_MAGIC:      {"fuse", "6.12"},
	unix.PROC_SUPER_MAGIC:      {"proc", ""},
	unix.SYSFS_MAGIC:           {"sysfs", ""},
	unix.CGROUP2_SUPER_MAGIC:   {"cgroup2", ""},
	unix.CGROUP_SUPER_MAGIC:    {"cgroup", ""},
	unix.HUGETLBFS_MAGIC:       {"hugetlbfs", "6.9"},
	unix.V9FS_MAGIC:            {"9p", ""},
	unix.RAMFS_MAGIC:           {"ramfs", ""},
	unix.EXT4_SUPER_MAGIC:      {"ext4", "5.12"},
	unix.XFS_SUPER_MAGIC:       {"xfs", "5.12"},
	unix.BTRFS_SUPER_MAGIC:     {"btrfs", "5.15"},
}

func fileSystem(path string) string {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return "unknown"
	}
	if known, ok := fileSystems[int64(stat.Type)]; ok {
		return known.name
	}
	return fmt.Sprintf("type %#x", stat.Type)
}

// since says which kernel can, where one can.
func since(path string) string {
	var stat unix.Statfs_t
	if unix.Statfs(path, &stat) != nil {
		return ""
	}
	if known := fileSystems[int64(stat.Type)]; known.since != "" {
		return ": that takes Linux " + known.since
	}
	return ""
}
