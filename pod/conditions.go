package pod

import (
	"fmt"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// conditions are the kubelet's, in its order. One whose status has not changed
// keeps the time of its last change.
func (s *state) conditions(st *v1.PodStatus, old []v1.PodCondition, now time.Time) []v1.PodCondition {
	ready := containersReady(st)
	podReady := ready
	podReady.Type = v1.PodReady
	sandbox := v1.PodCondition{Type: v1.PodReadyToStartContainers, Status: v1.ConditionTrue}
	if s.ended {
		sandbox.Status = v1.ConditionFalse
	}
	conditions := []v1.PodCondition{
		sandbox,
		initialized(st),
		podReady,
		ready,
		{Type: v1.PodScheduled, Status: v1.ConditionTrue},
	}
	for i := range conditions {
		c := &conditions[i]
		c.LastTransitionTime = apiTime(now)
		for _, o := range old {
			if o.Type == c.Type && o.Status == c.Status {
				c.LastTransitionTime = o.LastTransitionTime
			}
		}
	}
	return conditions
}

// containersReady is the kubelet's GenerateContainersReadyCondition.
func containersReady(st *v1.PodStatus) v1.PodCondition {
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

// initialized is the kubelet's GeneratePodInitializedCondition.
func initialized(st *v1.PodStatus) v1.PodCondition {
	c := v1.PodCondition{Type: v1.PodInitialized, Status: v1.ConditionTrue}
	if st.Phase == v1.PodSucceeded {
		c.Reason = "PodCompleted"
		return c
	}
	var incomplete []string
	for i := range st.InitContainerStatuses {
		if cs := &st.InitContainerStatuses[i]; !cs.Ready {
			incomplete = append(incomplete, cs.Name)
		}
	}
	if len(incomplete) > 0 {
		c.Status = v1.ConditionFalse
		c.Reason = "ContainersNotInitialized"
		c.Message = fmt.Sprintf("containers with incomplete status: [%s]", strings.Join(incomplete, " "))
	}
	return c
}
