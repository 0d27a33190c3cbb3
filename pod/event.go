package pod

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Event is something worth telling, in the words of the API's events.
type Event struct {
	Time    time.Time
	Type    string // Normal or Warning
	Reason  string // Pulled, Created, Started, Unhealthy, Killing, BackOff, Failed ...
	Object  string // the container's field path: spec.containers{web}
	Message string
}

func (s *state) normal(c *container, now time.Time, reason, format string, args ...any) {
	s.events = append(s.events, Event{now, v1.EventTypeNormal, reason, c.path(), fmt.Sprintf(format, args...)})
}

func (s *state) warn(c *container, now time.Time, reason, format string, args ...any) {
	s.events = append(s.events, Event{now, v1.EventTypeWarning, reason, c.path(), fmt.Sprintf(format, args...)})
}

// podEvent is one of the pod as a whole.
func (s *state) podEvent(now time.Time, kind, reason, message string) {
	s.events = append(s.events, Event{Time: now, Type: kind, Reason: reason, Message: message})
}

// format names the pod as the kubelet's messages do.
func (s *state) podName() string {
	return fmt.Sprintf("%s_%s(%s)", s.pod.Name, s.pod.Namespace, s.pod.UID)
}
