package pod

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// What the kubelet says of a pod that has been active for too long
// (pkg/kubelet/active_deadline.go).
const (
	deadlineExceeded = "DeadlineExceeded"
	deadlineMessage  = "Pod was active on the node longer than the specified deadline"
)

// Evict fails the pod as a whole, for a reason that becomes its status's and that
// an event tells. Its
// containers are asked to end, and killed when the grace period is over, by
// default the pod's own. A pod that ends already is left to its end.
func (l *Life) Evict(reason, text string, grace *int64) {
	l.post(message{apply: func(s *state, now time.Time) {
		if s.leaving() {
			return
		}
		length := s.gracePeriod()
		if grace != nil {
			length = time.Duration(max(*grace, 1)) * time.Second
		}
		s.podEvent(now, v1.EventTypeWarning, reason, text)
		s.fail(Ending{Deadline: after(now, length), Reason: reason, Message: text}, now)
	}})
}

// elapse changes the state by what the mere time has brought about, and by what
// follows from the messages as a whole.
func (s *state) elapse(now time.Time) {
	if s.closing || s.leaving() {
		return
	}
	if at := s.deadline(); !at.IsZero() && !now.Before(at) {
		s.podEvent(now, v1.EventTypeNormal, deadlineExceeded, deadlineMessage)
		s.fail(Ending{Deadline: after(now, s.gracePeriod()), Reason: deadlineExceeded, Message: deadlineMessage}, now)
		return
	}
	if s.restartingAll {
		s.elapseRestart(now)
		return
	}
	s.follow(now)
	if s.finished() {
		s.ending = &Ending{Deadline: after(now, s.gracePeriod())}
		s.announceEnd(now)
	}
}

// deadline is when the pod has been active for too long, zero if never.
func (s *state) deadline() time.Time {
	if s.pod.Spec.ActiveDeadlineSeconds == nil {
		return time.Time{}
	}
	return s.since.Add(time.Duration(*s.pod.Spec.ActiveDeadlineSeconds) * time.Second)
}

// fail begins the end of a pod that has failed as a whole.
func (s *state) fail(e Ending, now time.Time) {
	s.ending, s.restartingAll = &e, false
	s.announceEnd(now)
	for _, c := range s.all {
		c.Ready = false
	}
}

// announceEnd tells of each container that is being stopped.
func (s *state) announceEnd(now time.Time) {
	for _, c := range s.all {
		if c.Stage == stageStarting || c.Stage == stageRunning {
			s.normal(c, now, "Killing", "Stopping container %s", c.Name)
		}
	}
}

// changeSandbox begins anew what was in a sandbox that is gone: the init
// containers do their work again, the policies decide about the others. A pod
// that is never restarted ends (kubelet, computePodActions).
func (s *state) changeSandbox(now time.Time) {
	if !s.everStarted || s.leaving() {
		return
	}
	if s.pod.Spec.RestartPolicy == v1.RestartPolicyNever {
		s.ending = &Ending{Deadline: after(now, s.gracePeriod())}
		return
	}
	s.podEvent(now, v1.EventTypeNormal, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
	for _, c := range s.all {
		if c.Again == "" && !c.ephemeral && (c.lost || c.Last != nil) {
			c.Again = againSandbox
		}
	}
}
