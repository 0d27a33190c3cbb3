package pod

import "time"

// killRetry is how long after a SIGKILL that brought no exit it is sent again.
const killRetry = 5 * time.Second

// requestStop begins the end of the pod, or hastens it: the earlier end wins.
// Without a grace period of its own the pod's applies.
func (s *state) requestStop(grace *int64, now time.Time) {
	length := s.gracePeriod()
	if grace != nil {
		length = time.Duration(max(*grace, 0)) * time.Second
	}
	if s.stop != nil {
		if d := after(now, length); d.At.Before(s.stop.Deadline.At) {
			s.stop.Deadline = d
		}
		return
	}
	s.stop = &Stop{Deadline: after(now, length)}
	for _, c := range s.all {
		if c.Stage == stageStarting || c.Stage == stageRunning {
			c.Ready = false
			s.normal(c, now, "Killing", "Stopping container %s", c.Name)
		}
	}
}

func (s *state) gracePeriod() time.Duration {
	if g := s.pod.Spec.TerminationGracePeriodSeconds; g != nil {
		return time.Duration(*g) * time.Second
	}
	return 30 * time.Second
}

// endOf is when the container's running attempt has to have ended, if anything
// wants it to.
func (s *state) endOf(c *container) (Deadline, bool) {
	switch {
	case s.stop == nil && c.Kill == nil:
		return Deadline{}, false
	case s.stop == nil:
		return *c.Kill, true
	case c.Kill == nil || s.stop.Deadline.At.Before(c.Kill.At):
		return s.stop.Deadline, true
	}
	return *c.Kill, true
}

// planEnd ends a container that has to go: it is asked to, once, and killed when
// its grace period is over. A container that is not running yet is given up.
func (s *state) planEnd(p *plan, c *container, now time.Time) {
	if c.lost {
		return
	}
	if s.leaving() && c.flight && !c.cancelled && (c.Stage == stagePreparing || c.Stage == stageStarting) {
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
	case end.passed(now):
		if c.killing {
			return
		}
		if !now.Before(c.killAgain) {
			p.do(actKill, c)
			return
		}
		p.wakeAt(c.killAgain)
	default:
		if !c.terminated {
			p.do(actTerminate, c)
		}
		p.wakeAt(end.At)
	}
}
