package volumes

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

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
	if !mount.shared {
		return -1, fmt.Errorf("path %q is mounted on %q but it is not a shared mount: 'mount --make-shared %s' makes it one", path, mount.point, mount.point)
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
	return mount.shared || mount.slave, mount.point, err
}

// mountInfo is what proc_pid_mountinfo(5) says of a mount.
type mountInfo struct {
	point         string // with its octal escapes
	shared, slave bool
}

// mountOf finds the mount of an open file in the mount namespace of this thread.
func mountOf(fd int) (mountInfo, error) {
	var stat unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &stat); err != nil {
		return mountInfo{}, os.NewSyscallError("statx", err)
	}
	table, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return mountInfo{}, err
	}
	defer table.Close()
	id := strconv.FormatUint(stat.Mnt_id, 10)
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[0] != id {
			continue
		}
		mount := mountInfo{point: fields[4]}
		for _, tag := range fields[6:] {
			if tag == "-" {
				break
			}
			mount.shared = mount.shared || strings.HasPrefix(tag, "shared:")
			mount.slave = mount.slave || strings.HasPrefix(tag, "master:")
		}
		return mount, nil
	}
	return mountInfo{}, errors.Join(lines.Err(), fmt.Errorf("find mount %s in the mount table", id))
}
