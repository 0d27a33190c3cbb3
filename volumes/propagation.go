package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/step"
)

// peerDirectory lies beside Spec.Dir and holds, for each volume of the machine
// that a container mounts with Bidirectional, a mount of it that shares mounts
// with the machine's own.
const peerDirectory = "peers"

// propagation is how a container's mount exchanges mounts with others; the zero
// value is None.
func propagation(m *v1.VolumeMount) v1.MountPropagationMode {
	if m.MountPropagation == nil || *m.MountPropagation == v1.MountPropagationNone {
		return ""
	}
	return *m.MountPropagation
}

// propagating returns the path of the volume from which a bind with the
// propagation takes part in what it should.
//
// This mount namespace is a slave of the machine's. A mount of the machine is
// therefore a slave here, which is all that HostToContainer needs; a peer for
// Bidirectional has to come from the machine's namespace. The pod's own volumes
// share mounts among the pod's containers and with nobody else, so that they end
// with the pod.
func (s *Set) propagating(v volume, mode v1.MountPropagationMode) (string, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	switch {
	case v.own:
		return v.path, share(v.path)
	case mode == v1.MountPropagationBidirectional:
		return s.peer(v)
	}
	return v.path, nil
}

// share makes the path a mount point whose mounts are shared with binds of it.
func share(path string) error {
	defer step.Change("share mounts")()
	mounted, err := isMountPoint(path)
	if err != nil {
		return err
	}
	if !mounted {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: path, Err: err}
		}
		defer unix.Close(fd)
		if err := bindDescriptor(fd, path); err != nil {
			return err
		}
		// What the machine mounts there is none of the pod's business.
		if err := unix.Mount("", path, "", unix.MS_PRIVATE, ""); err != nil {
			return &os.PathError{Op: "make private", Path: path, Err: err}
		}
	}
	// What is shared already keeps its peers.
	if err := unix.Mount("", path, "", unix.MS_SHARED, ""); err != nil {
		return &os.PathError{Op: "share mounts of", Path: path, Err: err}
	}
	return nil
}

// peer mounts the volume as a peer of the machine's own mount, once.
func (s *Set) peer(v volume) (string, error) {
	target := filepath.Join(s.podDir(), peerDirectory, v.name)
	mounted, err := isMountPoint(target)
	if mounted {
		return target, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	tree := -1
	err = s.spec.OnMachine(func() (err error) {
		tree, err = openPeer(v.path)
		return err
	})
	if err != nil {
		return "", err
	}
	defer unix.Close(tree)
	if err := makeMountPoint(tree, target); err != nil {
		return "", err
	}
	defer step.Change("mount peer")()
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return "", &os.PathError{Op: "move_mount", Path: target, Err: err}
	}
	return target, nil
}

// openPeer returns a copy of the path's mount, and of those below it, that is
// attached nowhere and shares mounts with the originals. The words are containerd's.
func openPeer(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	mount, err := mountOf(fd)
	if err != nil {
		return -1, err
	}
	if !shared(mount) {
		return -1, fmt.Errorf("path %q is mounted on %q but it is not a shared mount: 'mount --make-shared %s' makes it one", path, mount.Mountpoint, mount.Mountpoint)
	}
	tree, err := unix.OpenTree(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("open_tree", err)
	}
	return tree, nil
}

// Unheard names the mounts with HostToContainer that no mount of the machine will
// reach, because the machine shares none there.
func (s *Set) Unheard() []string {
	var told []string
	for _, containers := range [][]v1.Container{s.spec.Pod.Spec.InitContainers, s.spec.Pod.Spec.Containers} {
		for i := range containers {
			for _, m := range containers[i].VolumeMounts {
				v, ok := s.volumes[m.Name]
				if !ok || v.own || propagation(&m) != v1.MountPropagationHostToContainer {
					continue
				}
				if heard, point, err := receives(v.path); err == nil && !heard {
					told = append(told, fmt.Sprintf("path %q is mounted on %q but it is not a shared or slave mount: mounts of the machine will not show up in volume %q", v.path, point, m.Name))
				}
			}
		}
	}
	return told
}

// receives reports whether mounts that the machine makes below the path show up
// in this namespace, and else the mount point that would have to be shared.
func receives(path string) (bool, string, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, "", &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	mount, err := mountOf(fd)
	if err != nil {
		return false, "", err
	}
	return shared(mount) || slave(mount), mount.Mountpoint, nil
}

// By the optional fields of proc_pid_mountinfo(5).
func shared(m *mountinfo.Info) bool { return strings.Contains(m.Optional, "shared:") }
func slave(m *mountinfo.Info) bool  { return strings.Contains(m.Optional, "master:") }
