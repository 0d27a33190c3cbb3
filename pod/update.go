package pod

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// Update makes the life go on by a changed manifest of the same pod, one of which
// CheckChange does not complain, or with more ephemeral containers. It returns when the change is saved, or when Run
// has returned; before Run at once. It may be told of the same manifest again.
func (l *Life) Update(p *v1.Pod) {
	l.settle(func(s *state, now time.Time) { s.update(p, now) })
}

func (s *state) update(p *v1.Pod, now time.Time) {
	old := s.pod
	s.pod = p
	for i, c := range s.init {
		c.update(&p.Spec.InitContainers[i])
	}
	for i, c := range s.app {
		c.update(&p.Spec.Containers[i])
	}
	for i := range p.Spec.EphemeralContainers {
		if e := &p.Spec.EphemeralContainers[i]; s.find(e.Name) == nil {
			s.addEphemeral(e)
		}
	}
	s.announceResize(old, now)
}

// update: another image is not held back by what became of the one before. The
// kubelet's back-offs go by image, and by the hash of a container's definition.
// One that waits may have waited for a label or an annotation.
func (c *container) update(spec *v1.Container) {
	if c.Stage == stageWaiting && c.Failure != nil && c.Failure.Waits {
		c.NotBefore, c.Failure = Deadline{}, nil
	}
	if c.spec.Image != spec.Image {
		c.Pull = Backoff{}
		switch c.Stage {
		case stageWaiting:
			c.NotBefore, c.Failure = Deadline{}, nil
		case stageExited:
			c.NotBefore, c.Crash = Deadline{}, Backoff{}
		}
	}
	c.spec = spec
}

// follow ends what runs by another definition than the manifest's, so that it
// starts again by that, whatever the restart policy is. What counts is the image
// (kubelet, HashContainer), and resources that do not change without a restart. An init container that is no sidecar is left to its
// work. The rule goes by what is kept of each attempt: a change that was saved is
// followed by the next monitor, too.
func (s *state) follow(now time.Time) {
	for _, c := range s.all {
		if c.Stage != stageRunning || c.lost || c.Kill != nil || c.init && !c.sidecar() {
			continue
		}
		if c.Made != "" && c.Made != c.spec.Image {
			format := "Container %s definition changed, will be restarted"
			if c.init {
				format = "Init container %s definition changed"
			}
			s.replace(c, format, now)
		} else if c.resizeRestarts() {
			s.replace(c, "Container %s resize requires restart", now)
		}
	}
}

// replace ends a container, to start it by its new definition.
func (s *state) replace(c *container, format string, now time.Time) {
	d := after(now, s.gracePeriod())
	c.Kill, c.Replaced, c.Ready = &d, true, false
	s.normal(c, now, "Killing", format, c.Name)
}
