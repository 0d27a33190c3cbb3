package volumes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"podrun/step"
)

// DefaultShmSize is the size of a pod's /dev/shm in bytes, as containerd and
// docker make it.
const DefaultShmSize = 64 << 20

// emptyDir makes a directory on disk, a tmpfs or a hugetlbfs. A tmpfs is as large
// as its sizeLimit; the others are held to it by whoever measures them.
func (s *Spec) emptyDir(name string, source *v1.EmptyDirVolumeSource) (volume, error) {
	onDisk := source.Medium == v1.StorageMediumDefault
	if !onDisk && source.Medium != v1.StorageMediumMemory && !isHugePages(source.Medium) {
		return volume{}, fmt.Errorf("unknown storage medium %q: use \"\", Memory, HugePages or HugePages-<size>", source.Medium)
	}
	path, err := s.directory(name)
	if err != nil {
		return volume{}, err
	}
	switch {
	case isHugePages(source.Medium):
		err = s.mountHugePages(path, source.Medium)
	case !onDisk:
		err = s.mountMemory(path, source.SizeLimit)
	}
	return volume{path: path, own: true, mounted: !onDisk}, err
}

// directory makes the pod's own directory for the volume.
func (s *Spec) directory(name string) (string, error) {
	if err := checkName("volume", name); err != nil {
		return "", err
	}
	return makeDirectory(s.Dir, name, s.fsGroup())
}

// Shm mounts the tmpfs that is /dev/shm in every container of a pod, and
// returns its path. pod is the pod's directory, the parent of Spec.Dir; size is
// in bytes, 0 means DefaultShmSize; owner is root of the pod's users. Idempotent;
// Remove removes the mount point.
func Shm(pod string, size int64, owner int) (string, error) {
	if size <= 0 {
		size = DefaultShmSize
	}
	path, err := makeDirectory(pod, "shm", noGroup)
	if err != nil {
		return "", fmt.Errorf("mount the pod's /dev/shm: %w", err)
	}
	options := fmt.Sprintf("mode=1777,size=%d,uid=%d,gid=%d", size, owner, owner)
	if err := mountTmpfs(path, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return "", fmt.Errorf("mount the pod's /dev/shm: %w", err)
	}
	return path, nil
}

// mountMemory mounts the tmpfs of a volume. Linux 6.4 and later are asked to
// keep it out of swap, as the kubelet does: it may hold a secret. Older ones,
// and user namespaces, answer EINVAL. The mode is the kernel's own, 1777, and what
// an fsGroup adds to it.
func (s *Spec) mountMemory(path string, limit *resource.Quantity) error {
	var machine unix.Sysinfo_t
	if err := unix.Sysinfo(&machine); err != nil {
		return os.NewSyscallError("sysinfo", err)
	}
	size := memorySize(int64(machine.Totalram)*int64(machine.Unit), s.Memory, limit)
	options := fmt.Sprintf("size=%d", size)
	if gid := s.fsGroup(); gid != noGroup {
		options += fmt.Sprintf(",mode=3777,gid=%d", gid)
	}
	err := mountTmpfs(path, 0, options+",noswap")
	if errors.Is(err, unix.EINVAL) {
		err = mountTmpfs(path, 0, options)
	}
	return err
}

// memorySize is the size of a tmpfs in bytes: the least of the machine's
// memory, the memory limit of the pod and the volume's sizeLimit, those of them
// that are set (kubelet, calculateEmptyDirMemorySize; podrun reserves nothing
// of the machine, so all of it is allocatable).
func memorySize(machine, pod int64, limit *resource.Quantity) int64 {
	size := machine
	if pod > 0 {
		size = min(size, pod)
	}
	if limit != nil && limit.Value() > 0 {
		size = min(size, limit.Value())
	}
	return size
}

// mountTmpfs mounts a tmpfs on the directory unless one is mounted there.
func mountTmpfs(path string, flags uintptr, options string) error {
	mounted, err := isMountPoint(path)
	if err != nil {
		return err
	}
	if !mounted {
		defer step.Change("mount tmpfs")()
		if err := unix.Mount("tmpfs", path, "tmpfs", flags, options); err != nil {
			return &os.PathError{Op: "mount tmpfs", Path: path, Err: err}
		}
		return nil
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	if stat.Type != unix.TMPFS_MAGIC {
		return fmt.Errorf("another file system than tmpfs is mounted on %s: unmount it", filepath.Clean(path))
	}
	return nil
}
