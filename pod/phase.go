package pod

import v1 "k8s.io/api/core/v1"

// phase is the kubelet's getPhase (pkg/kubelet/kubelet_pods.go): a pod is Pending
// until each of its containers has run, Running while one runs or will run
// again, and then Succeeded or Failed by the exit codes of those that are no
// sidecars. over: what has ended stays so. The statuses are in the spec's order.
func (s *state) phase(st *v1.PodStatus, over bool) v1.PodPhase {
	pending, running, failed := s.countInit(st.InitContainerStatuses)
	if failed {
		return v1.PodFailed
	}
	var waiting, ended, again, succeeded int
	for i, c := range s.app {
		cs := &st.ContainerStatuses[i]
		end := lastEnd(cs)
		switch {
		case cs.State.Running != nil:
			running++
		case end == nil:
			waiting++
		default:
			ended++
			if s.countsAsRestarted(c, end) {
				again++
			}
			if cs.State.Terminated != nil && end.ExitCode == 0 {
				succeeded++
			}
		}
	}
	switch {
	case pending || waiting > 0:
		return v1.PodPending
	case running > 0 || again > 0 && !over:
		return v1.PodRunning
	case ended == succeeded:
		return v1.PodSucceeded
	}
	return v1.PodFailed
}

// countInit reports whether an init container is still to be waited for, how
// many sidecars run, and whether an init container has failed for good.
func (s *state) countInit(statuses []v1.ContainerStatus) (pending bool, running int, failed bool) {
	for i, c := range s.init {
		cs := &statuses[i]
		end := lastEnd(cs)
		switch {
		case c.sidecar() && cs.State.Running != nil:
			running++
			pending = pending || !*cs.Started && !s.hasStarted()
		case c.sidecar():
			pending = pending || end == nil // one that has ended says nothing about the pod
		case end == nil || cs.State.Running != nil:
			pending = true
		case end.ExitCode != 0 && !s.countsAsRestarted(c, end):
			failed = true
		}
	}
	return pending, running, failed
}

// hasStarted reports whether one of the containers has been begun in the present
// sandbox: then the sidecars had started before.
func (s *state) hasStarted() bool {
	for _, c := range s.app {
		if c.begun() {
			return true
		}
	}
	return false
}

func (s *state) countsAsRestarted(c *container, end *v1.ContainerStateTerminated) bool {
	return end.Reason == restartingAllContainers || c.Again == againReplaced || s.interrupted(c) || Restarts(&s.pod.Spec, c.spec, end.ExitCode)
}

// lastEnd is the end that counts for the phase: the present one, or the last one
// of a container that waits to be started again.
func lastEnd(cs *v1.ContainerStatus) *v1.ContainerStateTerminated {
	if cs.State.Terminated != nil {
		return cs.State.Terminated
	}
	return cs.LastTerminationState.Terminated
}
