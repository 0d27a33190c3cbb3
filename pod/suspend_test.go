package pod

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

// A container that ends well because it was asked to, for a shutdown, has not
// done its work; one that had ended before has.
func TestSuspendedContainersGoOnByPolicy(t *testing.T) {
	for _, tt := range []struct {
		policy   v1.RestartPolicy
		restarts bool
		phase    v1.PodPhase
	}{
		{v1.RestartPolicyAlways, true, v1.PodRunning},
		{v1.RestartPolicyOnFailure, true, v1.PodRunning},
		{v1.RestartPolicyNever, false, v1.PodFailed},
	} {
		p := &v1.Pod{Spec: v1.PodSpec{RestartPolicy: tt.policy, Containers: []v1.Container{{Name: "a"}}}}
		s := newState(p, noon)
		s.everStarted = true
		c := s.find("a")
		c.Stage = stageRunning
		s.requestSuspend(nil, noon)
		if got := s.suspending(); got != tt.restarts {
			t.Errorf("%s: suspending is %v, want %v", tt.policy, got, tt.restarts)
		}
		s.observeExit("a", 0, Exit{At: noon}, noon)
		if got := s.restarts(c); got != tt.restarts && tt.policy != v1.RestartPolicyNever {
			t.Errorf("%s: restarts is %v, want %v", tt.policy, got, tt.restarts)
		}
		c.Removed = true
		s.ended = !s.suspending()
		if st := s.status(v1.PodStatus{}, noon); st.Phase != tt.phase || st.Reason != shutdownReason {
			t.Errorf("%s: got phase %s, reason %s, want %s and %s", tt.policy, st.Phase, st.Reason, tt.phase, shutdownReason)
		}
	}
}

// The earlier and the later request: a pod that is taken down is not kept for later.
func TestStopWinsOverSuspend(t *testing.T) {
	p := &v1.Pod{Spec: v1.PodSpec{RestartPolicy: v1.RestartPolicyAlways, Containers: []v1.Container{{Name: "a"}}}}
	for name, requests := range map[string][]func(*state){
		"stop, suspend": {func(s *state) { s.requestStop(nil, noon) }, func(s *state) { s.requestSuspend(nil, noon) }},
		"suspend, stop": {func(s *state) { s.requestSuspend(nil, noon) }, func(s *state) { s.requestStop(nil, noon) }},
	} {
		s := newState(p, noon)
		s.everStarted = true
		for _, request := range requests {
			request(s)
		}
		if s.stop == nil || s.suspending() {
			t.Errorf("%s: the pod is kept for later", name)
		}
	}
}
