package pod

import (
	"encoding/json"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Resizing is a change of what containers that run may use. Before and After
// differ in resources only. Attempts are those of the containers that run, by
// name; After counts for the pod as a whole, and for what starts next.
type Resizing struct {
	Before, After *v1.Pod
	Attempts      map[string]int
}

// resizes reports whether a change of the resources has not come into force yet.
func (s *state) resizes() bool {
	if s.unsettled {
		return true
	}
	for _, c := range s.all {
		if c.outgrown() {
			return true
		}
	}
	return !sameAmounts(orNone(s.inForce), orNone(s.pod.Spec.Resources))
}

// outgrown reports whether the container's resources are not those of its spec.
// Of one that was never begun they are those that the pod has room for.
func (c *container) outgrown() bool {
	return c.Resources != nil && !sameAmounts(c.Resources, &c.spec.Resources)
}

func orNone(r *v1.ResourceRequirements) *v1.ResourceRequirements {
	if r == nil {
		return &v1.ResourceRequirements{}
	}
	return r
}

// resizeRestarts reports whether a resource has changed of which the spec says
// that the container has to restart (kubelet, computePodResizeAction).
func (c *container) resizeRestarts() bool {
	for _, policy := range c.spec.ResizePolicy {
		name := policy.ResourceName
		if policy.RestartPolicy != v1.RestartContainer || c.Resources == nil {
			continue
		}
		for _, pair := range [][2]v1.ResourceList{{c.Resources.Requests, c.spec.Resources.Requests}, {c.Resources.Limits, c.spec.Resources.Limits}} {
			old, updated := pair[0][name], pair[1][name]
			if old.Cmp(updated) != 0 {
				return true
			}
		}
	}
	return false
}

// planResize brings a change of the resources into force, once everything that
// has to restart for it has ended and nothing is being made by the old ones.
func (s *state) planResize(p *plan, now time.Time) {
	if s.resizing || !s.resizes() {
		return
	}
	for _, c := range s.all {
		if c.Stage == stagePreparing || c.Stage == stagePrepared || c.Stage == stageStarting || c.Stage == stageRunning && c.Replaced {
			return
		}
	}
	if now.Before(s.resizeAt) {
		p.wakeAt(s.resizeAt)
		return
	}
	p.do(actResize, s.all[0]) // it is the pod's
}

// resizeOf is the change as it is now.
func (s *state) resizeOf() Resizing {
	r := Resizing{Before: s.pod.DeepCopy(), After: s.pod, Attempts: map[string]int{}}
	r.Before.Spec.Resources = s.inForce.DeepCopy()
	set := func(list []*container, specs []v1.Container) {
		for i, c := range list {
			if c.Resources != nil {
				specs[i].Resources = *c.Resources.DeepCopy()
			}
			if c.Stage == stageRunning && !c.lost {
				r.Attempts[c.Name] = c.Attempt
			}
		}
	}
	set(s.init, r.Before.Spec.InitContainers)
	set(s.app, r.Before.Spec.Containers)
	return r
}

// observeResized takes the outcome of a change of the resources. What could not
// be done is tried again, as a kubelet does with each sync of the pod.
func (s *state) observeResized(r Resizing, err error, now time.Time) {
	s.resizing = false
	s.unsettled = err != nil
	if err != nil {
		s.resizeAt = now.Add(retryPeriod)
		if s.resizeError != err.Error() {
			s.resizeError = err.Error()
			s.podEvent(now, v1.EventTypeWarning, "ResizeError", resizeText("Pod resize error", s.pod, s.resizeError))
		}
		return
	}
	s.resizeError, s.resizeAt = "", time.Time{}
	s.inForce = r.After.Spec.Resources.DeepCopy()
	set := func(list []*container, specs []v1.Container) {
		for i, c := range list {
			if c.Resources != nil {
				c.Resources = specs[i].Resources.DeepCopy()
			}
		}
	}
	set(s.init, r.After.Spec.InitContainers)
	set(s.app, r.After.Spec.Containers)
	if !s.resizes() {
		s.podEvent(now, v1.EventTypeNormal, "ResizeCompleted", resizeText("Pod resize completed", r.After, ""))
	}
}

// announceResize tells of a change of the resources that has just come.
func (s *state) announceResize(old *v1.Pod, now time.Time) {
	changed := !sameAmounts(orNone(old.Spec.Resources), orNone(s.pod.Spec.Resources))
	for i, c := range s.init {
		changed = changed || !sameAmounts(&old.Spec.InitContainers[i].Resources, &c.spec.Resources)
	}
	for i, c := range s.app {
		changed = changed || !sameAmounts(&old.Spec.Containers[i].Resources, &c.spec.Resources)
	}
	if !changed {
		return
	}
	s.resizeError, s.resizeAt = "", time.Time{}
	if s.resizes() {
		s.podEvent(now, v1.EventTypeNormal, "ResizeStarted", resizeText("Pod resize started", s.pod, ""))
	}
}

// resizeText is the message of an event (pkg/kubelet/events/resize.go).
func resizeText(what string, p *v1.Pod, failure string) string {
	type allocation struct {
		Name      string                  `json:"name"`
		Resources v1.ResourceRequirements `json:"resources"`
	}
	list := func(specs []v1.Container) (all []allocation) {
		for i := range specs {
			all = append(all, allocation{specs[i].Name, specs[i].Resources})
		}
		return all
	}
	summary, err := json.Marshal(struct {
		InitContainers []allocation `json:"initContainers,omitempty"`
		Containers     []allocation `json:"containers,omitempty"`
		Generation     int64        `json:"generation"`
		Error          string       `json:"error,omitempty"`
	}{list(p.Spec.InitContainers), list(p.Spec.Containers), p.Generation, failure})
	if err != nil {
		return what
	}
	return fmt.Sprintf("%s: %s", what, summary)
}

// resizeCondition is there as long as a change has not come into force.
func (s *state) resizeCondition() []v1.PodCondition {
	if !s.resizes() || s.leaving() {
		return nil
	}
	c := v1.PodCondition{Type: v1.PodResizeInProgress, Status: v1.ConditionTrue, ObservedGeneration: s.pod.Generation}
	if s.resizeError != "" {
		c.Reason, c.Message = v1.PodReasonError, s.resizeError
	}
	return []v1.PodCondition{c}
}

// inForce are the resources of a container that runs, or those that it asks for.
func (c *container) inForce() *v1.ResourceRequirements {
	if c.Stage == stageRunning && c.Resources != nil {
		return c.Resources
	}
	return &c.spec.Resources
}
