package pod

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
)

// podSums are what the containers of a pod request and are limited to, together
// or by the pod's own resources.
type podSums struct {
	of               *v1.Pod
	requests, limits v1.ResourceList
	running          v1.ResourceRequirements // as the pod's cgroup has them
}

// resources are the pod's in its status (kubelet, convertToAPIPodLevelResourcesStatus):
// what it asks for, and once it runs what its cgroup has.
func (s *state) resources(phase v1.PodPhase) (*v1.ResourceRequirements, v1.ResourceList) {
	if s.sums.of != s.pod {
		s.sums = sumsOf(s.pod)
	}
	if phase == v1.PodRunning {
		return &s.sums.running, s.sums.requests
	}
	return &v1.ResourceRequirements{Requests: s.sums.requests, Limits: s.sums.limits}, s.sums.requests
}

func sumsOf(p *v1.Pod) podSums {
	without := resource.PodResourcesOptions{ExcludeOverhead: true} // it has no meaning here
	sums := podSums{of: p, requests: resource.PodRequests(p, without), limits: resource.PodLimits(p, without)}
	limited := map[v1.ResourceName]bool{v1.ResourceCPU: true, v1.ResourceMemory: true}
	without.ContainerFn = func(r v1.ResourceList, _ resource.ContainerType) {
		for name := range limited {
			if q := r[name]; q.IsZero() {
				limited[name] = false
			}
		}
	}
	resource.PodLimits(p, without)
	own := v1.ResourceRequirements{}
	if p.Spec.Resources != nil {
		own = *p.Spec.Resources.DeepCopy()
	}
	sums.running = v1.ResourceRequirements{Requests: own.Requests, Limits: own.Limits}
	for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
		if q, found := sums.requests[name]; found && !q.IsZero() {
			sums.running.Requests = with(sums.running.Requests, name, sums.requests)
		}
		if limited[name] {
			sums.running.Limits = with(sums.running.Limits, name, sums.limits)
		}
	}
	return sums
}

func with(list v1.ResourceList, name v1.ResourceName, from v1.ResourceList) v1.ResourceList {
	if list == nil {
		list = v1.ResourceList{}
	}
	list[name] = from[name]
	return list
}
