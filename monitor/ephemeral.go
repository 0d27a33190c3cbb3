package monitor

import (
	"context"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"podrun/state"
)

// AddEphemeral adds a container to a pod that runs. It is in the pod's record
// when AddEphemeral returns. The error is ErrNoMonitor where nobody keeps the pod.
func AddEphemeral(ctx context.Context, s *state.Store, uid string, c *v1.EphemeralContainer) error {
	encoded, err := c.Marshal()
	if err != nil {
		return err
	}
	return Tell(ctx, s, uid, Request{Ephemeral: encoded})
}

// addEphemeral records the container and starts it. Asked again, by a client
// whose monitor died before it answered, it does nothing.
func (m *monitor) addEphemeral(encoded []byte) error {
	c := &v1.EphemeralContainer{}
	if err := c.Unmarshal(encoded); err != nil {
		return fmt.Errorf("decode container: %w", err)
	}
	if wrong := validation.IsDNS1123Label(c.Name); len(wrong) > 0 { // it becomes the name of a directory
		return fmt.Errorf("add container %q: its name is no name: %s", c.Name, wrong[0])
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	if m.closed {
		return errEnded
	}
	p := m.current().DeepCopy()
	for i := range p.Spec.EphemeralContainers {
		old := &p.Spec.EphemeralContainers[i]
		if old.Name != c.Name {
			continue
		}
		if was, err := old.Marshal(); err == nil && slices.Equal(was, encoded) {
			return nil
		}
		return fmt.Errorf("the pod has a container %s already", c.Name)
	}
	p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, *c)
	p.Generation++
	record := *m.record
	record.Pod = p.DeepCopy()
	record.Pod.Status, record.Pod.Spec.NodeName = v1.PodStatus{}, m.record.Pod.Spec.NodeName
	if err := m.storeRecord(&record); err != nil {
		return err
	}
	m.goOnBy(p)
	m.beginFollowing(m.stamps()) // before the container reads them
	m.life.Update(p)
	return nil
}

// ephemeral finds an ephemeral container of the pod; nil if there is none.
func (m *monitor) ephemeral(name string) *v1.EphemeralContainer {
	list := m.current().Spec.EphemeralContainers
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}
