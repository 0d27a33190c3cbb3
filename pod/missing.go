package pod

import (
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// containerCreating is the reason of a container that waits for its volumes.
const containerCreating = "ContainerCreating"

// missingPeriod is how soon a container looks by itself for a volume that it
// waits for: the kubelet's sync period. Whoever brings it calls Retry. What its
// configuration lacks may also be a file of a running container, which nobody
// tells of: that it looks for after retryPeriod, as a kubelet.
const missingPeriod = time.Minute

// observeWaiting takes a failure that something from outside will end. A volume
// is the pod's, and is told of once for all containers that wait for it.
func (s *state) observeWaiting(c *container, w *Waiting, now time.Time) {
	c.NotBefore = after(now, missingPeriod)
	if w.Reason != containerCreating {
		c.NotBefore = after(now, retryPeriod)
		s.warn(c, now, "Failed", "Error: %s", w.Message)
		return
	}
	for _, other := range s.all {
		if f := other.Failure; other != c && f != nil && f.Message == w.Message && now.Sub(f.At) < freshFor {
			return
		}
	}
	for text := range strings.SplitSeq(w.Message, "\n") { // a line for each volume
		s.events = append(s.events, Event{Time: now, Type: v1.EventTypeWarning, Reason: "FailedMount", Message: text})
	}
}

// Retry lets the containers that wait for something from outside look for it now.
func (l *Life) Retry() {
	l.post(message{apply: func(s *state, _ time.Time) {
		for _, c := range s.all {
			if c.Stage == stageWaiting && c.Failure != nil && c.Failure.Waits {
				c.NotBefore = Deadline{}
			}
		}
	}})
}
