package pod

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// hookStage is how far a container's postStart hook is.
type hookStage string

const (
	hookNone   hookStage = ""       // there is none, or it has succeeded
	hookDue    hookStage = "due"    // the container runs, the hook has not been called
	hookCalled hookStage = "called" // ... and is under way
	hookFailed hookStage = "failed" // the container is being ended for it
)

// postStartHookError is the kubelet's ErrPostStartHook.
const postStartHookError = "PostStartHookError"

func (c *container) postStart() *v1.LifecycleHandler {
	if c.spec.Lifecycle == nil {
		return nil
	}
	return c.spec.Lifecycle.PostStart
}

func (c *container) preStop() *v1.LifecycleHandler {
	if c.spec.Lifecycle == nil {
		return nil
	}
	return c.spec.Lifecycle.PreStop
}

// up reports whether the container runs and its postStart hook is over. Until
// then it shows as not running yet, is not probed, and holds back those that
// start after it: the kubelet, too, does nothing else with the pod meanwhile.
func (c *container) up() bool { return c.Stage == stageRunning && c.PostStart == hookNone }

// begin is what follows when the container is up.
func (s *state) begin(c *container, now time.Time) {
	worker := c.init && !c.sidecar()
	c.PostStart, c.Again, c.Counted = hookNone, "", false
	c.Started = worker || c.spec.StartupProbe == nil
	c.Ready = c.Started && !worker && c.spec.ReadinessProbe == nil && !s.leaving()
	c.armProbes(c.StartedAt, now)
}

// planHook calls the postStart hook of a container that has just started, and
// gives it up when the container has to end.
func (s *state) planHook(p *plan, c *container) {
	if c.Stage != stageRunning || c.lost {
		return
	}
	switch _, ending := s.endOf(c); {
	case c.PostStart == hookDue && !ending:
		p.do(actPostStart, c)
	case c.PostStart == hookCalled && ending && !c.abandoned:
		p.do(actAbandon, c)
	}
}

// hookBeforeEnd reports whether the end of the container has to wait for a hook,
// and calls the preStop hook, once. The grace period runs meanwhile: at its end
// nothing is waited for any more (kubelet, killContainer). A restart of all
// containers leaves no time for it.
func (s *state) hookBeforeEnd(p *plan, c *container, end Deadline, now time.Time) bool {
	called := c.PostStart == hookCalled
	if end.passed(now) || s.restartingAll || !called && (c.preStop() == nil || c.Stopped) {
		return false
	}
	if !called && !c.stopping {
		p.do(actPreStop, c)
	}
	p.wakeAt(end.At)
	return true
}

// observePostStart takes the result of a postStart hook. A failed one ends the
// container, and its restart policy decides. What the hook printed is not for an
// event, which is no place for secrets, but for the container's status.
func (s *state) observePostStart(c *container, attempt int, err error, now time.Time) {
	if attempt != c.Attempt || c.Stage != stageRunning || c.PostStart != hookCalled || s.closing {
		return
	}
	if err == nil {
		s.begin(c, now)
		return
	}
	c.PostStart, c.HookError = hookFailed, err.Error()
	s.warn(c, now, "FailedPostStartHook", "PostStartHook failed")
	if _, ending := s.endOf(c); !ending {
		s.normal(c, now, "Killing", "FailedPostStartHook")
		d := after(now, s.gracePeriod())
		c.Kill = &d
	}
}

// observePreStop takes the result of a preStop hook, which changes nothing but
// that the container is asked to end now.
func (s *state) observePreStop(c *container, attempt int, err error, now time.Time) {
	if attempt != c.Attempt || s.closing {
		return
	}
	c.Stopped = true
	if err != nil {
		s.warn(c, now, "FailedPreStopHook", "PreStopHook failed")
	}
}

// endHooks forgets the hooks of an attempt that has ended. That of a failed one
// is why the container waits.
func (c *container) endHooks(now time.Time) {
	if c.PostStart == hookFailed {
		c.Failure = &Waiting{Reason: postStartHookError, Message: c.HookError, At: now}
	}
	c.PostStart, c.HookError, c.abandoned = hookNone, "", false
}
