package pod

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// QOSClass is upstream's ComputePodQOS: Guaranteed when every container, or else
// the pod itself, has equal requests and limits of both cpu and memory,
// BestEffort when none has any. What the pod itself says hides its containers.
func QOSClass(pod *v1.Pod) v1.PodQOSClass {
	requests := map[v1.ResourceName]resource.Quantity{}
	limits := map[v1.ResourceName]resource.Quantity{}
	guaranteed := true
	for _, r := range qosResources(pod) {
		addQOS(requests, r.Requests)
		if addQOS(limits, r.Limits) < 2 {
			guaranteed = false
		}
	}
	if len(requests) == 0 && len(limits) == 0 {
		return v1.PodQOSBestEffort
	}
	for name, request := range requests {
		if limit, found := limits[name]; !found || limit.Cmp(request) != 0 {
			guaranteed = false
		}
	}
	if guaranteed && len(requests) == len(limits) {
		return v1.PodQOSGuaranteed
	}
	return v1.PodQOSBurstable
}

// qosResources are what decides the pod's class.
func qosResources(pod *v1.Pod) []*v1.ResourceRequirements {
	if pod.Spec.Resources != nil {
		return []*v1.ResourceRequirements{pod.Spec.Resources}
	}
	var all []*v1.ResourceRequirements
	for _, list := range [][]v1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			all = append(all, &list[i].Resources)
		}
	}
	return all
}

// addQOS adds the amounts of cpu and memory that are not zero to sum, and
// reports how many there were.
func addQOS(sum map[v1.ResourceName]resource.Quantity, amounts v1.ResourceList) int {
	n := 0
	for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
		if q, found := amounts[name]; found && q.Sign() > 0 {
			total := sum[name]
			total.Add(q)
			sum[name] = total
			n++
		}
	}
	return n
}
