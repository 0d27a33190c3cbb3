package pod

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Event is something worth telling, in the words of the API's events.
type Event struct {
	Time    time.Time `json:"time"`             // of its last occurrence
	Type    string    `json:"type"`             // Normal or Warning
	Reason  string    `json:"reason"`           // Pulled, Created, Started, Unhealthy, Killing, BackOff, Failed ...
	Object  string    `json:"object,omitempty"` // the container's field path: spec.containers{web}; none: the pod as a whole
	Message string    `json:"message"`
	// A Correlator fills in what follows.
	Name  string    `json:"name,omitempty"` // the same for each occurrence
	First time.Time `json:"first,omitzero"` // the first occurrence
	Count int       `json:"count,omitempty"`
}

func (s *state) normal(c *container, now time.Time, reason, format string, args ...any) {
	s.tell(c, now, v1.EventTypeNormal, reason, fmt.Sprintf(format, args...))
}

func (s *state) warn(c *container, now time.Time, reason, format string, args ...any) {
	s.tell(c, now, v1.EventTypeWarning, reason, fmt.Sprintf(format, args...))
}

func (s *state) tell(c *container, now time.Time, kind, reason, message string) {
	s.events = append(s.events, Event{Time: now, Type: kind, Reason: reason, Object: c.path(), Message: message})
}

// podEvent is one of the pod as a whole.
func (s *state) podEvent(now time.Time, kind, reason, message string) {
	s.events = append(s.events, Event{Time: now, Type: kind, Reason: reason, Message: message})
}

func (s *state) podName() string { return podName(s.pod) }

// podName names a pod as the kubelet's messages do (format.Pod).
func podName(p *v1.Pod) string {
	return fmt.Sprintf("%s_%s(%s)", p.Name, p.Namespace, p.UID)
}
