package volumes

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"podrun/step"
	"podrun/tree"
)

// isHugePages reports whether a medium is HugePages or HugePages-<size>.
func isHugePages(medium v1.StorageMedium) bool {
	return medium == v1.StorageMediumHugePages || strings.HasPrefix(string(medium), string(v1.StorageMediumHugePagesPrefix))
}

// mountHugePages mounts a hugetlbfs of the page size that the medium names. Its
// root has the kernel's mode, 0755, and what an fsGroup adds to it. As under the
// kubelet the file system has no size: a sizeLimit is for who measures it.
func (s *Spec) mountHugePages(path string, medium v1.StorageMedium) error {
	size, err := pageSize(s.Pod, medium)
	if err != nil {
		return err
	}
	mounted, err := isMountPoint(path)
	if err != nil {
		return err
	}
	if mounted {
		return checkPageSize(path, size)
	}
	mount, err := newHugeFS(size.Value())
	switch {
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("medium %s: this machine has no huge pages of %s: /sys/kernel/mm/hugepages names the sizes that it has", medium, size.String())
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("medium %s: the kernel of this machine has no huge pages", medium)
	case err != nil:
		return err
	}
	defer unix.Close(mount)
	if gid := s.fsGroup(); gid != noGroup {
		if err := tree.GiveFile(mount, path, gid); err != nil {
			return err
		}
	}
	defer step.Change("mount hugetlbfs")()
	if err := unix.MoveMount(mount, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "move_mount", Path: path, Err: err}
	}
	return nil
}

// newHugeFS is a hugetlbfs that is mounted nowhere yet: its options know no
// setgid, so that an fsGroup gets it before anybody can see that it is missing.
func newHugeFS(pageSize int64) (int, error) {
	fs, err := unix.Fsopen("hugetlbfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "pagesize", strconv.FormatInt(pageSize, 10)); err != nil {
		return -1, os.NewSyscallError("fsconfig", err)
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, os.NewSyscallError("fsconfig", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	return mount, os.NewSyscallError("fsmount", err)
}

func checkPageSize(path string, size resource.Quantity) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	if stat.Type != unix.HUGETLBFS_MAGIC || int64(stat.Bsize) != size.Value() {
		return fmt.Errorf("another file system than hugetlbfs with pages of %s is mounted on %s: unmount it", size.String(), path)
	}
	return nil
}

// pageSize is that of the medium, which a container has to ask for; HugePages
// alone means the only one that is asked for (kubelet, getPageSizeMountOption).
func pageSize(p *v1.Pod, medium v1.StorageMedium) (resource.Quantity, error) {
	var wanted, found resource.Quantity
	if size, ok := strings.CutPrefix(string(medium), string(v1.StorageMediumHugePagesPrefix)); ok {
		var err error
		if wanted, err = resource.ParseQuantity(size); err != nil {
			return wanted, fmt.Errorf("medium %s: read the page size: %w", medium, err)
		}
	}
	for _, list := range requestsOf(p) {
		for name := range list {
			text, ok := strings.CutPrefix(string(name), v1.ResourceHugePagesPrefix)
			size, err := resource.ParseQuantity(text)
			switch {
			case !ok || err != nil:
			case !wanted.IsZero() && wanted.Cmp(size) != 0:
			case !found.IsZero() && found.Cmp(size) != 0:
				return found, fmt.Errorf("medium: %s can't be used if container requests multiple huge page sizes", medium)
			default:
				found = size
			}
		}
	}
	if found.IsZero() {
		return found, fmt.Errorf("medium %s: hugePages storage requested, but there is no resource request for huge pages", medium)
	}
	return found, nil
}

// requestsOf are the requests of the pod and of its containers.
func requestsOf(p *v1.Pod) []v1.ResourceList {
	var list []v1.ResourceList
	if p.Spec.Resources != nil {
		list = append(list, p.Spec.Resources.Requests)
	}
	for _, containers := range [][]v1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range containers {
			list = append(list, containers[i].Resources.Requests)
		}
	}
	return list
}
