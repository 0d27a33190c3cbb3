package pod

import "time"

// killRetry is how long after a SIGKILL that brought no exit it is sent again.
const killRetry = 5 * time.Second

// minGracePeriod is what a container that was asked to end always has before it
// is killed (kubelet, minimumGracePeriodInSeconds), unless it is to end at once.
const minGracePeriod = 2 * time.Second

// requestStop begins the end of the pod, or hastens it: the earlier end wins.
// Without a grace period of its own the pod's applies. 0 is at once.
func (s *state) requestStop(grace *int64, now time.Time) {
	if grace == nil {
		grace = s.pod.Spec.TerminationGracePeriodSeconds
	}
	length := s.gracePeriod()
	if grace != nil {
		length = time.Duration(max(*grace, 0)) * time.Second
	}
	if s.stop != nil {
		s.stop.Resume = false
		if d := after(now, length); d.At.Before(s.stop.Deadline.At) {
			s.stop.Deadline = d
		}
		return
	}
	if s.ending == nil {
		s.announceEnd(now)
	}
	s.stop, s.restartingAll = &Stop{Deadline: after(now, length)}, false
	for _, c := range s.all {
		c.Ready = false
	}
}

// gracePeriod is the pod's own where it is not being taken down, and of at least
// a second: what ends by itself is asked to (kubelet, calculateEffectiveGracePeriod).
func (s *state) gracePeriod() time.Duration {
	if g := s.pod.Spec.TerminationGracePeriodSeconds; g != nil {
		return time.Duration(max(*g, 1)) * time.Second
	}
	return 30 * time.Second
}

// endOf is when the container's running attempt has to have ended, if anything
// wants it to: the earliest of what does.
func (s *state) endOf(c *container) (Deadline, bool) {
	var end Deadline
	wanted := false
	take := func(d Deadline) {
		if !wanted || d.At.Before(end.At) {
			end, wanted = d, true
		}
	}
	if s.stop != nil {
		take(s.stop.Deadline)
	}
	if s.ending != nil {
		take(s.ending.Deadline)
	}
	if c.Kill != nil {
		take(*c.Kill)
	}
	return end, wanted
}

// planEnd ends a container that has to go: it is asked to, once and in its turn,
// and killed when its grace period is over. A container that is not running yet
// is given up.
func (s *state) planEnd(p *plan, c *container, now time.Time) {
	if c.lost {
		return
	}
	if s.halting() && c.flight && !c.cancelled && (c.Stage == stagePreparing || c.Stage == stageStarting) {
		p.do(actCancel, c)
		return
	}
	// Asked to start by a monitor that died: what came of it has to be known first.
	if c.Stage == stageStarting && c.resumed && !c.flight {
		p.do(actStart, c)
		return
	}
	end, wanted := s.endOf(c)
	if !wanted || c.Stage != stageRunning {
		return
	}
	switch {
	case end.Length == 0:
		s.planKill(p, c, now)
	case !c.Asked.IsZero() && !now.Before(killTime(c, end)):
		s.planKill(p, c, now)
	case c.asked:
		p.wakeAt(killTime(c, end))
	case s.hookBeforeEnd(p, c, end, now):
	case s.turn(c) || end.passed(now):
		p.do(actTerminate, c)
	default:
		p.wakeAt(end.At)
	}
}

// killTime is when a container that was asked to end is killed.
func killTime(c *container, end Deadline) time.Time {
	if kill := c.Asked.Add(minGracePeriod); kill.After(end.At) {
		return kill
	}
	return end.At
}

// planKill kills the container, again and again until it has ended.
func (s *state) planKill(p *plan, c *container, now time.Time) {
	switch {
	case c.killing:
	case now.Before(c.killAgain):
		p.wakeAt(c.killAgain)
	default:
		p.do(actKill, c)
	}
}

// turn reports whether nothing has to end before the container. When a pod ends,
// a sidecar waits for the containers and for the sidecars that come after it
// (kubelet, newTerminationOrdering).
func (s *state) turn(c *container) bool {
	if !c.sidecar() || !s.leaving() {
		return true
	}
	for _, a := range s.app {
		if a.exists() {
			return false
		}
	}
	for i := len(s.init) - 1; i >= 0 && s.init[i] != c; i-- {
		if s.init[i].sidecar() && s.init[i].exists() {
			return false
		}
	}
	return true
}
