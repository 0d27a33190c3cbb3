package pod

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
)

// Evicted is the reason of a pod that has failed because it used too much.
const Evicted = "Evicted"

// StorageUsage is what a pod occupies on the machine's disk, in bytes.
type StorageUsage struct {
	Volumes    map[string]int64 // those that VolumeCounts
	Containers map[string]int64 // writable layer and logs
	Files      int64            // what else is made for the pod
}

// VolumeCounts reports whether the volume's usage has to be known: it has a limit
// of its own that its file system does not hold it to, or the pod's total has one
// and it is part of that (kubelet, IsLocalEphemeralVolume).
func VolumeCounts(p *v1.Pod, v *v1.Volume) bool {
	e := v.EmptyDir
	if e != nil && e.SizeLimit != nil && e.SizeLimit.Sign() > 0 && e.Medium != v1.StorageMediumMemory {
		return true
	}
	return isEphemeral(v) && TotalCounts(p)
}

func isEphemeral(v *v1.Volume) bool {
	return v.EmptyDir != nil && v.EmptyDir.Medium == v1.StorageMediumDefault || v.ConfigMap != nil
}

// TotalCounts reports whether a limit of ephemeral-storage holds for the pod: one
// of a container is one of the pod.
func TotalCounts(p *v1.Pod) bool {
	for _, list := range [][]v1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			if _, limited := list[i].Resources.Limits[v1.ResourceEphemeralStorage]; limited {
				return true
			}
		}
	}
	return false
}

// Exceeded says which limit the usage exceeds, in the words and the order of the
// kubelet (pkg/kubelet/eviction, localStorageEviction); it is empty for none.
func (u StorageUsage) Exceeded(p *v1.Pod) string {
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if v.EmptyDir == nil || v.EmptyDir.SizeLimit == nil || v.EmptyDir.SizeLimit.Sign() <= 0 {
			continue
		}
		if limit := v.EmptyDir.SizeLimit; u.Volumes[v.Name] > limit.Value() {
			return fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q. ", v.Name, limit.String())
		}
	}
	if !TotalCounts(p) {
		return ""
	}
	limits := resource.PodLimits(p, resource.PodResourcesOptions{})
	if limit := limits[v1.ResourceEphemeralStorage]; u.total(p) > limit.Value() {
		return fmt.Sprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s. ", limit.String())
	}
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		if limit := c.Resources.Limits.StorageEphemeral(); !limit.IsZero() && u.Containers[c.Name] > limit.Value() {
			return fmt.Sprintf("Container %s exceeded its local ephemeral storage limit %q. ", c.Name, limit.String())
		}
	}
	return ""
}

func (u StorageUsage) total(p *v1.Pod) int64 {
	sum := u.Files
	for i := range p.Spec.Volumes {
		if v := &p.Spec.Volumes[i]; isEphemeral(v) {
			sum += u.Volumes[v.Name]
		}
	}
	for _, bytes := range u.Containers {
		sum += bytes
	}
	return sum
}
