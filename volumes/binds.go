package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/step"
)

// subPathDirectory lies beside Spec.Dir and holds <id>/<n>, where the subPath
// of a container's nth volumeMount is bound.
const subPathDirectory = "subpaths"

// Bind is one mount that the runtime makes in a container.
type Bind struct {
	Source      string // in the pod's mount namespace
	Destination string // in the container, absolute and clean
	ReadOnly    bool   // to be made so by a remount of the bind
	Recursive   bool   // ReadOnly holds for the mounts below as well
	NoExec      bool
	Unmapped    bool // of an image: mounted with the ids of the pod's user namespace already
	Volume      string
	// Propagation is HostToContainer, Bidirectional, or empty for None.
	Propagation v1.MountPropagationMode
}

// A RuntimeError is what the kubelet leaves to the container runtime: it fails the
// creation of the container, not its configuration.
type RuntimeError struct{ error }

func (e *RuntimeError) Unwrap() error { return e.error }

// Binds returns what the container mounts, in the order of its volumeMounts;
// whoever makes the mounts brings nested ones into order. id names the attempt
// to run the container and is one element of a path. Subpaths are resolved, made
// where they are missing, and held by a mount until Release(id): for the same
// id, Binds returns the same mounts, whatever the names lead to by then.
func (s *Set) Binds(c *v1.Container, id string) (binds []Bind, err error) {
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		source, readOnly, err := s.source(m, id, i)
		if err != nil {
			err = fmt.Errorf("mount volume %q: %w", m.Name, err)
			return nil, errors.Join(err, s.Release(id))
		}
		binds = append(binds, Bind{
			Source:      source,
			Destination: path.Join("/", m.MountPath),
			ReadOnly:    readOnly || m.ReadOnly,
			Recursive:   RecursiveReadOnly(m),
			NoExec:      s.volumes[m.Name].image != "",
			Unmapped:    s.volumes[m.Name].image != "",
			Volume:      m.Name,
			Propagation: propagation(m),
		})
	}
	return binds, nil
}

// source returns the path that the nth volumeMount binds.
func (s *Set) source(m *v1.VolumeMount, id string, n int) (source string, readOnly bool, err error) {
	v, ok := s.volumes[m.Name]
	if !ok {
		return "", false, errors.New("the pod has no such volume: add it to spec.volumes")
	}
	if err := checkRecursive(m); err != nil {
		return "", false, err
	}
	if v.image != "" {
		if v.path, err = s.spec.Image(v.image, m.Name); err != nil {
			return "", false, err
		}
	}
	if v.create && missing(v.path) {
		defer step.Change("make directory of a hostPath")()
		if err := os.MkdirAll(v.path, 0o755); err != nil {
			return "", false, err
		}
	}
	if v.machine && m.SubPath == "" {
		// Links may have changed since the volume was looked at.
		if err := s.spec.Guard.check(v.path, !m.ReadOnly); err != nil {
			return "", false, err
		}
	}
	if mode := propagation(m); mode != "" {
		if v.path, err = s.propagating(v, mode); err != nil {
			return "", false, &RuntimeError{err}
		}
	}
	if m.SubPath != "" {
		source, err = s.bindSubPath(v, m, id, n)
		if err != nil && v.image != "" {
			err = &RuntimeError{err}
		}
		return source, v.readOnly, err
	}
	return v.path, v.readOnly, nil
}

// bindSubPath binds what the subPath leads to at a path of the host's own: the
// runtime will look names up again, and names inside a volume may change.
func (s *Set) bindSubPath(v volume, m *v1.VolumeMount, id string, n int) (string, error) {
	subPath := m.SubPath
	if err := checkName("container attempt", id); err != nil {
		return "", err
	}
	target := filepath.Join(s.subPaths(id), strconv.Itoa(n))
	bound, err := isMountPoint(target)
	if bound {
		return target, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	fd, err := openSubPath(v.path, subPath)
	if err != nil {
		return "", fmt.Errorf("prepare subPath %q: %w", subPath, err)
	}
	defer unix.Close(fd)
	if v.machine {
		at, err := spotAt(fd)
		if err == nil {
			err = s.spec.Guard.refuse(filepath.Join(v.path, subPath), at, !m.ReadOnly)
		}
		if err != nil {
			return "", fmt.Errorf("prepare subPath %q: %w", subPath, err)
		}
	}
	if err := makeMountPoint(fd, target); err != nil {
		return "", err
	}
	defer step.Change("bind subPath")()
	return target, bindDescriptor(fd, target)
}

func (s *Set) subPaths(id string) string { return filepath.Join(s.podDir(), subPathDirectory, id) }

// podDir is the pod's directory, the parent of Spec.Dir.
func (s *Set) podDir() string { return filepath.Dir(filepath.Clean(s.spec.Dir)) }

// makeMountPoint makes an empty directory at the path for a directory, an empty
// file for anything else, in place of what a killed run may have left.
func makeMountPoint(source int, target string) error {
	defer step.Change("make mount point")()
	var stat unix.Stat_t
	if err := unix.Fstat(source, &stat); err != nil {
		return &os.PathError{Op: "fstat", Path: target, Err: err}
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return err
	}
	if err := ignoreMissing(os.Remove(target)); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		return os.Mkdir(target, 0o700)
	}
	return os.WriteFile(target, nil, 0o600)
}

// Release ends the mounts that Binds made for the id. It is idempotent; the
// container, which has mounts of its own, may still run.
func (s *Set) Release(id string) error {
	if err := checkName("container attempt", id); err != nil {
		return err
	}
	dir := s.subPaths(id)
	points, err := os.ReadDir(dir)
	failed := []error{ignoreMissing(err)}
	for _, point := range points {
		failed = append(failed, releasePoint(filepath.Join(dir, point.Name())))
	}
	failed = append(failed, ignoreMissing(os.Remove(dir)))
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("release the subPaths of %s: %w", id, err)
	}
	return nil
}

// releasePoint unmounts and removes one mount point. A detached unmount does not
// fail for a process that is just starting with it.
func releasePoint(path string) error {
	defer step.Change("release mount point")()
	// Where mounts are shared with the machine, those below would end there too.
	unix.Mount("", path, "", unix.MS_PRIVATE|unix.MS_REC, "")
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: not mounted
		return &os.PathError{Op: "unmount", Path: path, Err: err}
	}
	return removeMountPoint(path)
}
