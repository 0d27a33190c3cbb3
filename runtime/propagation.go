package runtime

import (
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// propagationFlags are mount(2)'s for one bind. The source decides what a shared
// or slave mount is connected with.
func propagationFlags(mode v1.MountPropagationMode) int {
	switch mode {
	case v1.MountPropagationBidirectional:
		return unix.MS_SHARED | unix.MS_REC
	case v1.MountPropagationHostToContainer:
		return unix.MS_SLAVE | unix.MS_REC
	}
	return unix.MS_PRIVATE | unix.MS_REC
}

// rootPropagation is libcontainer's for all mounts of the container's namespace,
// from which the binds are made: slaves of the pod's, its own default, unless a
// bind has to stay a peer of its source (containerd does the same).
func rootPropagation(binds []Bind) int {
	for _, b := range binds {
		if b.Propagation == v1.MountPropagationBidirectional {
			return unix.MS_SHARED | unix.MS_REC
		}
	}
	return 0
}
