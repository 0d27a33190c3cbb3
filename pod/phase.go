package pod

import v1 "k8s.io/api/core/v1"

// phase is the kubelet's getPhase: a pod is Pending until each of its containers
// has run, Running while one runs or will run again, and then Succeeded or
// Failed by their exit codes.
func (s *state) phase(st *v1.PodStatus) v1.PodPhase {
	for i := range s.init {
		switch end := ended(&st.InitContainerStatuses[i]); {
		case end == nil || st.InitContainerStatuses[i].State.Running != nil:
			return v1.PodPending
		case end.ExitCode != 0 && s.pod.Spec.RestartPolicy == v1.RestartPolicyNever:
			return v1.PodFailed
		}
	}
	var waiting, running, again, failed int
	for i, c := range s.app {
		end := ended(&st.ContainerStatuses[i])
		switch {
		case st.ContainerStatuses[i].State.Running != nil:
			running++
		case end == nil:
			waiting++
		case !s.ended && s.restarts(c):
			again++
		case end.ExitCode != 0:
			failed++
		}
	}
	switch {
	case waiting > 0:
		return v1.PodPending
	case running > 0 || again > 0:
		return v1.PodRunning
	case failed > 0:
		return v1.PodFailed
	}
	return v1.PodSucceeded
}

// ended is the end that counts for the phase: the present one, or the last one
// of a container that waits to be started again.
func ended(cs *v1.ContainerStatus) *v1.ContainerStateTerminated {
	if cs.State.Terminated != nil {
		return cs.State.Terminated
	}
	return cs.LastTerminationState.Terminated
}
