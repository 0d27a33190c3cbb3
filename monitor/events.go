package monitor

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/pod"
	"podrun/state"
)

// A pod's events are lines of JSON, the later one of a name in place of the
// earlier. When the file has grown to eventsLimit it is written anew without
// those that were replaced.
const eventsLimit = 128 << 10

// recorder keeps a pod's events.
type recorder struct {
	mu         sync.Mutex
	correlator *pod.Correlator // from the first event on
}

// event keeps what has happened, and shows it to those who watch.
func (m *monitor) event(e pod.Event) {
	m.board.post(Update{Event: &e})
	r := &m.events
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := m.keepEvent(r, e); err != nil {
		fmt.Fprintf(os.Stderr, "podrun: store event: %v\n", err)
	}
}

func (m *monitor) keepEvent(r *recorder, e pod.Event) error {
	if r.correlator == nil {
		kept, err := Events(m.store, m.uid())
		if err != nil {
			return err
		}
		r.correlator = pod.NewCorrelator(m.pod.Name, kept)
	}
	seen, room := r.correlator.Observe(e)
	if !room {
		return nil
	}
	size, err := m.store.AppendEvent(m.uid(), seen)
	if err != nil || size < eventsLimit {
		return err
	}
	var all []any
	for _, e := range r.correlator.Events() {
		all = append(all, e)
	}
	return m.store.ReplaceEvents(m.uid(), all)
}

// Events are those that are kept of a pod, in the order of their last
// occurrence.
func Events(s *state.Store, uid string) ([]pod.Event, error) {
	byName := map[string]pod.Event{}
	err := s.EachEvent(uid, func(line []byte) {
		var e pod.Event
		if json.Unmarshal(line, &e) == nil {
			byName[e.Name] = e
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read the pod's events: %w", err)
	}
	var all []pod.Event
	for _, e := range byName {
		all = append(all, e)
	}
	pod.SortEvents(all)
	return all, nil
}

// tellUnbuilt tells why the sandbox of a pod that runs cannot be had.
func (m *monitor) tellUnbuilt(err error) {
	m.event(pod.Event{Time: time.Now(), Type: v1.EventTypeWarning, Reason: "FailedCreatePodSandBox", Message: fmt.Sprintf("Failed to create pod sandbox: %v", err)})
}
