package pod

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// What the kubelet says of a pod that it ends because the machine is being shut
// down (pkg/kubelet/nodeshutdown).
const (
	shutdownReason   = "Terminated"
	shutdownMessage  = "Pod was terminated in response to imminent node shutdown."
	suspendedMessage = shutdownMessage + " 'podrun resume' starts it again."
)

// Suspend ends the pod's containers as Stop does, and lets it go on in a later
// Life. What the restart policy lets run but once fails, as under a kubelet whose
// machine is shut down. A pod that is ending for good is left to its end.
func (l *Life) Suspend(graceSeconds *int64) {
	l.post(message{apply: func(s *state, now time.Time) { s.requestSuspend(graceSeconds, now) }})
}

// Suspended reports whether the status is that of a pod that waits to go on, or
// ends to do so.
func Suspended(st *v1.PodStatus) bool { return st.Reason == shutdownReason && !terminal(st.Phase) }

func (s *state) requestSuspend(grace *int64, now time.Time) {
	switch {
	case s.stop != nil && !s.stop.Resume, s.ending != nil, s.notMade != nil:
	case s.stop == nil && s.everStarted && s.pod.Spec.RestartPolicy == v1.RestartPolicyNever:
		length := s.gracePeriod()
		if grace != nil {
			length = time.Duration(max(*grace, 1)) * time.Second
		}
		s.fail(Ending{Deadline: after(now, length), Reason: shutdownReason, Message: shutdownMessage}, now)
	default:
		s.requestStop(grace, now)
		s.stop.Resume = true
	}
}

// suspending reports whether what runs ends to go on later.
func (s *state) suspending() bool { return s.stop != nil && s.stop.Resume }

// interrupted reports whether the container's last end says nothing about its
// work: it was ended with the machine, and its policy lets it run again.
func (s *state) interrupted(c *container) bool {
	return c.Interrupted && restartPolicy(&s.pod.Spec, c.spec) != v1.RestartPolicyNever
}
