package pod

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// The kubelet's words for a container that is ended because another one's
// restart rule makes all begin anew.
const (
	restartingAllContainers = "RestartingAllContainers"
	restartingAllMessage    = "The container is removed because RestartAllContainers in place"
)

// restartPause is how long after the last end all containers begin anew: about
// what passes in a kubelet until it sees an end. It has no back-off for this, and
// here, too, nothing but this pause keeps a pod from doing it for ever.
const restartPause = time.Second

// elapseRestart goes on with a restart of all containers, as the kubelet: one
// after the other is ended, containers before init containers, and last come
// those whose rule has asked for it. When nothing is left they begin anew, from
// the first init container, without a back-off.
func (s *state) elapseRestart(now time.Time) {
	for _, c := range s.restartOrder() {
		if !c.clean() {
			if c.Stage == stageRunning && c.Kill == nil {
				d := after(now, minGracePeriod)
				c.Kill = &d
				s.normal(c, now, "Killing", "killing")
			}
			return
		}
		s.beginAgain(c, now)
	}
	s.restartingAll = now.Before(s.restartDue(now))
}

// restartDue is when all containers may begin anew.
func (s *state) restartDue(now time.Time) time.Time {
	var last time.Time
	for _, c := range s.all {
		if at := c.FinishedAt; at.After(last) && !at.After(now) {
			last = at
		}
	}
	return last.Add(restartPause)
}

// restartOrder is the order in which a restart of all containers ends them.
func (s *state) restartOrder() []*container {
	var targets, sources []*container
	for _, list := range [][]*container{s.app, s.init} {
		for _, c := range list {
			if c.Stage == stageExited && c.Again == "" && restartsAll(c.spec, c.Last.ExitCode) {
				sources = append(sources, c)
			} else {
				targets = append(targets, c)
			}
		}
	}
	return append(targets, sources...)
}

// beginAgain forgets what a container has done.
func (s *state) beginAgain(c *container, now time.Time) {
	if c.Last == nil || c.Again == againAll {
		return
	}
	heldBack := c.Stage != stageExited || !c.NotBefore.passed(now)
	c.Again, c.NotBefore, c.Failure, c.ProbeKilled = againAll, Deadline{}, nil, false
	if heldBack {
		return // its last end stands
	}
	c.Counted = true
	c.Previous, c.Last = c.Last, &v1.ContainerStateTerminated{
		Reason: restartingAllContainers, Message: restartingAllMessage, ExitCode: 137,
	}
}
