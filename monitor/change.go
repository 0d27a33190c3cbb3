package monitor

import (
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"

	"podrun/pod"
)

// current is the pod by its present manifest. m.pod is as it was when this
// monitor began, and as good for all that does not change while a pod runs.
func (m *monitor) current() *v1.Pod {
	if p := m.changed.Load(); p != nil {
		return p
	}
	return m.pod
}

// goOnBy makes it the current pod, with the addresses that a rebuild has found.
func (m *monitor) goOnBy(p *v1.Pod) {
	m.building.Lock()
	defer m.building.Unlock()
	now := m.current()
	p.Status, p.Spec.NodeName = now.Status, now.Spec.NodeName
	m.changed.Store(p)
}

var errEnded = errors.New("the pod has come to its end: 'podrun up' again")

// closeChanges comes before the pod's files are removed: what came after would
// make some of them anew, and nobody would find them.
func (m *monitor) closeChanges() {
	m.changing.Lock()
	defer m.changing.Unlock()
	m.building.Lock()
	defer m.building.Unlock()
	m.closed = true
}

// change makes the pod go on by another manifest. The record is replaced first,
// by the monitor alone, so that of two changes none is lost; what follows from it
// is found again by a monitor that begins with the record: the life compares it
// with what its containers were made of, and build with what the volumes show.
func (m *monitor) change(encoded []byte) error {
	var updated v1.Pod
	if err := updated.Unmarshal(encoded); err != nil {
		return fmt.Errorf("decode the pod: %w", err)
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	if m.closed {
		return errEnded
	}
	old := m.current().DeepCopy()
	old.Spec.NodeName = updated.Spec.NodeName // of the machine, not of a manifest
	if errs := pod.CheckChange(old, &updated); len(errs) > 0 {
		return errs.ToAggregate()
	}
	record := *m.record
	record.Pod = pod.Changed(old, &updated)
	record.Pod.Status = v1.PodStatus{}
	if err := m.storeRecord(&record); err != nil {
		return err
	}
	p := record.Pod.DeepCopy()
	m.goOnBy(p)
	m.life.Update(p)
	return m.refresh() // labels and annotations may be files
}
