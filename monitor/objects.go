package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/manifest"
	"podrun/pod"
	"podrun/state"
)

// Objects reads the kept objects that a pod refers to, by name. One that is not
// there is not in the answer.
func Objects(s *state.Store, p *v1.Pod) (manifest.References, error) {
	names := manifest.NamesOf(&p.Spec)
	var r manifest.References
	var errs [3]error
	r.ConfigMaps, errs[0] = readObjects[v1.ConfigMap](s, p.Namespace, names.ConfigMaps)
	r.Secrets, errs[1] = readObjects[v1.Secret](s, p.Namespace, names.Secrets)
	r.Claims, errs[2] = readObjects[v1.PersistentVolumeClaim](s, p.Namespace, names.Claims)
	for _, name := range names.Claims {
		// The data that a claim has left behind is as good as the claim.
		if _, err := os.Stat(filepath.Join(s.ClaimDir(p.Namespace), name)); err == nil && r.Claims[name] == nil {
			r.Claims[name] = &v1.PersistentVolumeClaim{}
		}
	}
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
func (m *monitor) references() (manifest.References, error) { return Objects(m.store, m.current()) }

// refresh gives the volumes the present data of the kept objects, and lets the
// containers go on that wait for one. A monitor that is killed on the way leaves
// it to the next, whose build does the same.
func (m *monitor) refresh() error {
	defer m.life.Retry()
	m.building.Lock()
	defer m.building.Unlock()
	if m.unbuilt || m.unmounted || m.closed {
		return nil // who mounts reads what there is then
	}
	objects, err := m.references()
	if err != nil {
		return err
	}
	err = m.volumes.Refresh(m.current(), objects.ConfigMaps, objects.Secrets)
	if err != nil {
		m.event(pod.Event{Time: time.Now(), Type: v1.EventTypeWarning, Reason: "FailedMount", Message: err.Error()})
	}
	return err
}

// followPeriod is how soon a change of the kept objects is seen of which nobody
// has told, because whoever made it was killed: the kubelet's sync period.
const followPeriod = time.Minute

// beginFollowing lets the pod follow the kept objects from now on, if it does not
// yet. A pod that refers to none costs nothing.
func (m *monitor) beginFollowing(seen string) {
	if seen != "" {
		m.following.Do(func() { go m.follow(m.ctx, seen) })
	}
}

// follow lets the pod follow the kept objects when they are not as they were when
// they were last looked at, until ctx ends.
func (m *monitor) follow(ctx context.Context, seen string) {
	<-m.lives
	tick := time.NewTicker(followPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := m.stamps(); now != seen {
			seen = now
			m.refresh() // an event tells of what it could not do
		}
	}
}

// stamps change with the ConfigMaps and Secrets that the pod refers to. They are
// empty where it refers to none.
func (m *monitor) stamps() string {
	names := manifest.NamesOf(&m.current().Spec) // with ephemeral containers
	var b strings.Builder
	for _, name := range names.ConfigMaps {
		fmt.Fprintf(&b, "%s %s\n", name, m.store.ObjectStamp(m.pod.Namespace, name, &v1.ConfigMap{}))
	}
	for _, name := range names.Secrets {
		fmt.Fprintf(&b, "%s %s\n", name, m.store.ObjectStamp(m.pod.Namespace, name, &v1.Secret{}))
	}
	return b.String()
}
