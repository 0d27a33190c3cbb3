// Package volumes makes each volume of one pod a path in the pod's mount
// namespace, hands the paths to containers as binds, refreshes projected data
// atomically, and removes what it made.
//
// It owns Spec.Dir, its siblings "subpaths", "peers" and "shm", and the data of the
// claims below Spec.Claims. All of these are reached by root on the host only: a container
// sees a volume through a bind of the volume's root and can rename neither the
// root nor anything above it. Names below a volume's root belong to the
// containers; they are resolved by openat2(2) and used by descriptor only
// (CVE-2017-1002101, CVE-2021-25741, CVE-2025-9566).
//
// It leaves to others: the bind into the container, its read-only remount and
// its order among other mounts (runtime), the lifetime of the mount namespace
// (sandbox), which objects exist (manifest, state), who uses a claim and when it
// goes (claims), and how a tree is walked that containers write to (tree).
//
// Everything but Remove runs in the pod's mount namespace and may be repeated
// after a kill at any point: mounts that exist are found, not doubled, and
// half-made files are completed. Nothing is synced to disk: the
// pod's own volumes are remade from its record, and a claim's directory is
// older in the file system's journal than any file in it.
//
// Modes are set whatever the umask is, except those of directories and files
// that a hostPath volume makes on the host; a umask of 0 or 022 gives these
// the kubelet's.
package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"

	"podrun/manifest"
	"podrun/step"
)

// Spec is what a pod's volumes are made from.
type Spec struct {
	Pod        *v1.Pod
	ConfigMaps map[string]*v1.ConfigMap // by name, of the pod's namespace
	Secrets    map[string]*v1.Secret    // by name, of the pod's namespace
	Dir        string                   // the pod's own volumes; its parent is the pod's directory
	Claims     string                   // named volumes of the pod's namespace
	Guard      Guard                    // against hostPath volumes that are podrun's own
	Memory     int64                    // the memory limit of the pod's cgroup in bytes, 0 for none
	// Image mounts what an image holds for the volume of the name, and returns where.
	Image func(reference, volume string) (string, error)
	// OnMachine calls f on a thread in the machine's mount namespace.
	OnMachine func(f func() error) error

	// Allocatable is what the machine has, for the resources of containers without limits.
	Allocatable func() v1.ResourceList
}

// Set is the mounted volumes of one pod. Its methods are safe for concurrent
// use.
type Set struct {
	spec       Spec
	volumes    map[string]volume
	mutex      sync.Mutex // of what several containers may make for a volume
	refreshing sync.Mutex // held by Refresh
}

// volume is one mounted volume.
type volume struct {
	name     string
	path     string // in the pod's mount namespace
	readOnly bool   // whatever a volumeMount says
	create   bool   // made at the first bind if it is missing
	machine  bool   // a hostPath: what it leads to is the machine's
	own      bool   // the pod's, and of no use to anybody else
	mounted  bool   // a file system of its own is mounted there
	image    string // is mounted at each bind: what the reference means may change
}

// Mount makes every volume that a container mounts; as under the kubelet, the
// others are ignored. It is idempotent. The error tells of each volume that
// could not be mounted; what was made until then stays for another try, or for
// Remove.
func Mount(s Spec) (*Set, error) {
	set := &Set{spec: s}
	if len(s.Pod.Spec.Volumes) == 0 {
		return set, nil
	}
	set.volumes = make(map[string]volume, len(s.Pod.Spec.Volumes))
	used := manifest.MountedVolumes(&s.Pod.Spec)
	var failed []error
	for i := range s.Pod.Spec.Volumes {
		v := &s.Pod.Spec.Volumes[i]
		if !used[v.Name] {
			continue
		}
		made, err := s.mount(v)
		if err != nil {
			failed = append(failed, fmt.Errorf("mount volume %q: %w", v.Name, err))
			continue
		}
		made.name = v.Name
		set.volumes[v.Name] = made
	}
	if len(failed) > 0 {
		return nil, errors.Join(failed...)
	}
	return set, nil
}

func (s *Spec) mount(v *v1.Volume) (volume, error) {
	if p := s.payload(v); p != nil {
		if len(p.failed) > 0 && s.filled(v.Name) {
			return s.projectionAt(v), nil
		}
		return s.projection(v, p)
	}
	switch {
	case v.EmptyDir != nil:
		return s.emptyDir(v.Name, v.EmptyDir)
	case v.HostPath != nil:
		return s.hostPath(v)
	case v.PersistentVolumeClaim != nil:
		return s.claim(v.Name, v.PersistentVolumeClaim)
	case v.Ephemeral != nil:
		return s.ephemeral(v)
	case v.Image != nil:
		return volume{image: v.Image.Reference, readOnly: true, own: true}, nil
	}
	return volume{}, errors.New("its kind is not supported: use emptyDir, hostPath, configMap, secret, downwardAPI, projected, persistentVolumeClaim, ephemeral or image")
}

// volumeMode is the mode of the root of every volume that podrun makes: the
// kubelet's for emptyDir and what wraps it, and what local-path-provisioner
// gives a claim, so that a container of any user can write.
const volumeMode = 0o777

// makeDirectory makes parent/name with volumeMode, for the group gid unless that
// is noGroup, and a missing parent for root alone. A directory that exists is
// left alone: its mode may be a container's choice (PostgreSQL sets 0700). It
// appears by rename, so that one with the umask's mode is never taken for complete.
func makeDirectory(parent, name string, gid int) (string, error) {
	path := filepath.Join(parent, name)
	if info, err := os.Lstat(path); err == nil {
		if !info.IsDir() {
			return "", fmt.Errorf("%s is in the way: it is not a directory", path)
		}
		return path, nil
	}
	partial := filepath.Join(parent, "."+name+".new")
	done := step.Change("make volume")
	err := os.Mkdir(partial, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(parent, 0o700); err != nil {
			return "", err
		}
		err = os.Mkdir(partial, 0o700)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	if gid != noGroup {
		if err := os.Lchown(partial, -1, gid); err != nil {
			return "", err
		}
	}
	if err := os.Chmod(partial, rootMode(gid)); err != nil {
		return "", err
	}
	done()
	defer step.Change("show volume")()
	return path, os.Rename(partial, path)
}

// rootMode is the mode of a volume's root that a pod with this fsGroup gets.
func rootMode(gid int) fs.FileMode {
	if gid == noGroup {
		return volumeMode
	}
	return volumeMode | fs.ModeSetgid
}

// checkName refuses what would not stay one visible entry of a directory. The
// manifest's validation is stricter; this holds if a caller skipped it.
func checkName(kind, name string) error {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%s %q cannot be the name of a directory", kind, name)
	}
	return nil
}
