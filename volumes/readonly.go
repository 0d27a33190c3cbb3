package volumes

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// recursiveReadOnlyWorks reports whether the kernel can make a whole tree of
// mounts read-only: mount_setattr(2), Linux 5.12. The call itself is a wrong one.
var recursiveReadOnlyWorks = sync.OnceValue(func() bool {
	err := unix.MountSetattr(-1, "", 0, &unix.MountAttr{})
	return !errors.Is(err, unix.ENOSYS)
})

// RecursiveReadOnly reports whether the mount is read-only with all mounts below
// it (kubelet, resolveRecursiveReadOnly).
func RecursiveReadOnly(m *v1.VolumeMount) bool {
	if m.RecursiveReadOnly == nil || *m.RecursiveReadOnly == v1.RecursiveReadOnlyDisabled || !m.ReadOnly {
		return false
	}
	return recursiveReadOnlyWorks()
}

// checkRecursive refuses what the kernel cannot do.
func checkRecursive(m *v1.VolumeMount) error {
	if m.RecursiveReadOnly != nil && *m.RecursiveReadOnly == v1.RecursiveReadOnlyEnabled && !recursiveReadOnlyWorks() {
		return fmt.Errorf("volume %q requested recursive read-only mode, but it is not supported by the runtime: use IfPossible, or Linux 5.12 or later", m.Name)
	}
	return nil
}
