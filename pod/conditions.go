package pod

import (
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// conditions are those that others have set and then the kubelet's, in its order
// (generateAPIPodStatus). One whose status has not changed keeps the time of its
// last change.
func (s *state) conditions(st *v1.PodStatus, old []v1.PodCondition, now time.Time) []v1.PodCondition {
	sandbox := v1.PodCondition{Type: v1.PodReadyToStartContainers, Status: v1.ConditionTrue}
	if s.ended || s.lacksVolumes() {
		sandbox.Status = v1.ConditionFalse
	}
	ready := s.containersReady(st)
	own := []v1.PodCondition{
		sandbox,
		s.initializedCondition(st, old),
		s.podReady(ready),
		ready,
		{Type: v1.PodScheduled, Status: v1.ConditionTrue},
	}
	for i := range own {
		own[i].ObservedGeneration = s.pod.Generation
	}
	own = append(own, s.resizeCondition()...)
	if mayRestartAll(&s.pod.Spec) {
		own = append(own, s.allRestarting(st.Phase))
	}
	for i := range own {
		c := &own[i]
		c.LastTransitionTime = apiTime(now)
		if o := findCondition(old, c.Type); o != nil && o.Status == c.Status {
			c.LastTransitionTime = o.LastTransitionTime
		}
	}
	return append(slices.Clone(s.custom), own...)
}

// lacksVolumes reports whether nothing has run because volumes are missing: a
// kubelet makes the sandbox when it has mounted them.
func (s *state) lacksVolumes() bool {
	return !s.everStarted && slices.ContainsFunc(s.all, func(c *container) bool {
		return c.Failure != nil && c.Failure.Reason == containerCreating
	})
}

// ownConditions are the types that the kubelet sets, and nobody else.
var ownConditions = []v1.PodConditionType{
	v1.PodReadyToStartContainers, v1.PodInitialized, v1.PodReady, v1.ContainersReady, v1.PodScheduled,
	v1.PodResizeInProgress, v1.PodResizePending, v1.AllContainersRestarting,
}

// OwnCondition reports whether a condition of the type follows from the pod's
// life alone, so that nobody else can set it.
func OwnCondition(kind v1.PodConditionType) bool { return slices.Contains(ownConditions, kind) }

// customConditions are those of the list that others have set.
func customConditions(list []v1.PodCondition) []v1.PodCondition {
	return slices.DeleteFunc(slices.Clone(list), func(c v1.PodCondition) bool { return OwnCondition(c.Type) })
}

func findCondition(list []v1.PodCondition, kind v1.PodConditionType) *v1.PodCondition {
	for i := range list {
		if list[i].Type == kind {
			return &list[i]
		}
	}
	return nil
}

// SetCondition sets a condition that is nobody's own, such as a readiness gate
// waits for: its type, status, reason and message. The time of the last change
// stays where the status is the same.
func (l *Life) SetCondition(c v1.PodCondition) {
	l.post(message{apply: func(s *state, now time.Time) { s.setCondition(c, now) }})
}

func (s *state) setCondition(c v1.PodCondition, now time.Time) {
	if OwnCondition(c.Type) {
		return
	}
	c.LastTransitionTime, c.ObservedGeneration = apiTime(now), s.pod.Generation
	custom := slices.Clone(s.custom) // the old list is in a status that was handed out
	if old := findCondition(custom, c.Type); old == nil {
		custom = append(custom, c)
	} else {
		if old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		*old = c
	}
	s.custom = custom
}

// podReady is the kubelet's GeneratePodReadyCondition: the containers are ready
// and every readiness gate is open.
func (s *state) podReady(containers v1.PodCondition) v1.PodCondition {
	c := containers
	c.Type = v1.PodReady
	if c.Status != v1.ConditionTrue {
		return c
	}
	var shut []string
	for _, gate := range s.pod.Spec.ReadinessGates {
		switch open := findCondition(s.custom, gate.ConditionType); {
		case open == nil:
			shut = append(shut, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", gate.ConditionType))
		case open.Status != v1.ConditionTrue:
			shut = append(shut, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v", gate.ConditionType, open.Status))
		}
	}
	if len(shut) > 0 {
		c.Status, c.Reason, c.Message = v1.ConditionFalse, "ReadinessGatesNotReady", strings.Join(shut, ", ")
	}
	return c
}

// containersReady is the kubelet's GenerateContainersReadyCondition: all
// containers and all sidecars are ready.
func (s *state) containersReady(st *v1.PodStatus) v1.PodCondition {
	c := v1.PodCondition{Type: v1.ContainersReady, Status: v1.ConditionFalse}
	switch st.Phase {
	case v1.PodSucceeded:
		c.Reason = "PodCompleted"
		return c
	case v1.PodFailed:
		c.Reason = "PodFailed"
		return c
	}
	var unready []string
	for i, sidecar := range s.init {
		if sidecar.sidecar() && !st.InitContainerStatuses[i].Ready {
			unready = append(unready, sidecar.Name)
		}
	}
	for i := range st.ContainerStatuses {
		if cs := &st.ContainerStatuses[i]; !cs.Ready {
			unready = append(unready, cs.Name)
		}
	}
	if len(unready) > 0 {
		c.Reason = "ContainersNotReady"
		c.Message = fmt.Sprintf("containers with unready status: [%s]", strings.Join(unready, " "))
		return c
	}
	c.Status = v1.ConditionTrue
	return c
}

// initializedCondition is the kubelet's GeneratePodInitializedCondition: regular
// init containers have succeeded and sidecars have started. A pod that was
// initialized stays so.
func (s *state) initializedCondition(st *v1.PodStatus, old []v1.PodCondition) v1.PodCondition {
	c := v1.PodCondition{Type: v1.PodInitialized, Status: v1.ConditionTrue}
	if st.Phase == v1.PodSucceeded {
		c.Reason = "PodCompleted"
		return c
	}
	for i := range st.ContainerStatuses {
		if state := &st.ContainerStatuses[i].State; state.Running != nil || state.Terminated != nil {
			return c
		}
	}
	var incomplete []string
	for i, init := range s.init {
		cs := &st.InitContainerStatuses[i]
		if init.sidecar() && !*cs.Started || !init.sidecar() && !cs.Ready {
			incomplete = append(incomplete, cs.Name)
		}
	}
	if o := findCondition(old, v1.PodInitialized); len(incomplete) == 0 || o != nil && o.Status == v1.ConditionTrue {
		return c
	}
	c.Status = v1.ConditionFalse
	c.Reason = "ContainersNotInitialized"
	c.Message = fmt.Sprintf("containers with incomplete status: [%s]", strings.Join(incomplete, " "))
	return c
}

// allRestarting is the kubelet's GenerateAllContainersRestartingCondition.
func (s *state) allRestarting(phase v1.PodPhase) v1.PodCondition {
	c := v1.PodCondition{Type: v1.AllContainersRestarting, Status: v1.ConditionFalse}
	switch {
	case phase == v1.PodSucceeded:
		c.Reason = "PodCompleted"
	case phase == v1.PodFailed:
		c.Reason = "PodFailed"
	case s.restartingAll:
		c.Status, c.Reason, c.Message = v1.ConditionTrue, "RestartAllContainersStarted", "container exited with restart policy rule"
	}
	return c
}
