package volumes

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// projection makes a volume that shows objects or the pod itself, and writes its
// payload if it is not there already. A configMap is on disk; the others may
// hold a secret, or the pod's own data, and are on a tmpfs, as under the kubelet.
// Containers get all of them read-only, whatever their volumeMount says (kubelet,
// since 1.9.6).
func (s *Spec) projection(v *v1.Volume, p *payload) (volume, error) {
	if err := errors.Join(p.failed...); err != nil {
		return volume{}, err
	}
	dir, err := s.directory(v.Name)
	if err != nil {
		return volume{}, err
	}
	if v.ConfigMap == nil {
		if err := s.mountMemory(dir, nil); err != nil {
			return volume{}, err
		}
	}
	if err := makeNested(dir, nestedMounts(&s.Pod.Spec, v.Name)); err != nil {
		return volume{}, err
	}
	files := p.sorted()
	s.letGroupRead(files)
	return s.projectionAt(v), writeAtomic(dir, files)
}

func (s *Spec) projectionAt(v *v1.Volume) volume {
	return volume{path: filepath.Join(s.Dir, v.Name), readOnly: true, own: true, mounted: v.ConfigMap == nil}
}

// filled tells whether the volume has been mounted with a payload: it goes on
// showing that when what it is made of has gone, as under the kubelet.
func (s *Spec) filled(name string) bool {
	_, err := os.Lstat(filepath.Join(s.Dir, name, dataLink))
	return err == nil
}

func (p *payload) sorted() []projected {
	return slices.SortedFunc(maps.Values(p.files), func(a, b projected) int { return strings.Compare(a.path, b.path) })
}

// Refresh gives the configMap, secret, downwardAPI and projected volumes what
// the objects, and the pod's metadata and resources, say now. Each volume changes
// at once and as a whole, by the swap of its ..data link; one whose payload is
// what it was is not touched. What an optional source gained appears, keys that
// went disappear. A volume that cannot be changed keeps its payload and is named
// in the error. A subPath keeps the file that it was bound to, as under the
// kubelet.
//
// The monitor calls it, in the pod's mount namespace, with the objects by name of
// the pod's namespace, after it has stored them: a monitor that is killed on the
// way is followed by one that repeats all of it through Mount. Every mounted
// volume is made again from the arguments alone, so that it may be called
// without knowing what changed, and any number of times.
func (s *Set) Refresh(pod *v1.Pod, configMaps map[string]*v1.ConfigMap, secrets map[string]*v1.Secret) error {
	s.refreshing.Lock()
	defer s.refreshing.Unlock()
	spec := s.spec
	spec.Pod, spec.ConfigMaps, spec.Secrets = pod, configMaps, secrets
	var failed []error
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if _, ok := s.volumes[v.Name]; !ok {
			continue
		}
		p := spec.payload(v)
		if p == nil {
			continue
		}
		if _, err := spec.projection(v, p); err != nil {
			failed = append(failed, fmt.Errorf("refresh volume %q: %w", v.Name, err))
		}
	}
	return errors.Join(failed...)
}
