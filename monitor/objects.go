package monitor

import (
	"errors"
	"os"

	v1 "k8s.io/api/core/v1"

	"podrun/manifest"
	"podrun/state"
)

// Objects reads the kept objects that a pod refers to. One that is not there is
// not in the answer.
func Objects(s *state.Store, p *v1.Pod) (manifest.References, error) {
	names := manifest.NamesOf(&p.Spec)
	var r manifest.References
	var errs [3]error
	r.ConfigMaps, errs[0] = readObjects[v1.ConfigMap](s, p.Namespace, names.ConfigMaps)
	r.Secrets, errs[1] = readObjects[v1.Secret](s, p.Namespace, names.Secrets)
	r.Claims, errs[2] = readObjects[v1.PersistentVolumeClaim](s, p.Namespace, names.Claims)
	return r, errors.Join(errs[:]...)
}

func readObjects[T any, P interface {
	*T
	state.Object
}](s *state.Store, namespace string, names []string) (map[string]P, error) {
	if len(names) == 0 {
		return nil, nil
	}
	found := make(map[string]P, len(names))
	for _, name := range names {
		o := P(new(T))
		err := s.ReadObject(namespace, name, o)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found[name] = o
	}
	return found, nil
}

// references are the kept objects that the pod refers to as they are now: what
// the next container and the volumes are made of.
func (m *monitor) references() (manifest.References, error) { return Objects(m.store, m.pod) }

// refresh gives the volumes the present data of the kept objects. A monitor that
// is killed on the way leaves it to the next, whose build does the same.
func (m *monitor) refresh() error {
	m.building.Lock()
	defer m.building.Unlock()
	if m.unbuilt {
		return nil // rebuild will read what there is then
	}
	objects, err := m.references()
	if err != nil {
		return err
	}
	return m.volumes.Refresh(m.pod, objects.ConfigMaps, objects.Secrets)
}
