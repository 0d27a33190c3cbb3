package runtime

import (
	"fmt"
	"reflect"

	"github.com/opencontainers/cgroups"
	v1 "k8s.io/api/core/v1"
)

// CPUAndMemory is the part of a cgroup's limits that may change while it has processes.
func CPUAndMemory(r *cgroups.Resources) *cgroups.Resources {
	return &cgroups.Resources{
		CpuShares: r.CpuShares, CpuWeight: r.CpuWeight, CpuQuota: r.CpuQuota, CpuPeriod: r.CpuPeriod,
		Memory: r.Memory, MemorySwap: r.MemorySwap,
		SkipDevices: true,
	}
}

// AtLeast is the room of both: what a cgroup has while its members change from
// one to the other. A group on cgroup v1 must not have less than one below it.
func AtLeast(a, b *cgroups.Resources) *cgroups.Resources {
	r := CPUAndMemory(b)
	r.CpuShares, r.CpuWeight = max(a.CpuShares, b.CpuShares), max(a.CpuWeight, b.CpuWeight)
	if r.CpuQuota = max(a.CpuQuota, b.CpuQuota); a.CpuQuota == 0 || b.CpuQuota == 0 {
		r.CpuQuota, r.CpuPeriod = 0, 0 // one has no limit: leave what there is
	}
	if r.Memory, r.MemorySwap = max(a.Memory, b.Memory), max(a.MemorySwap, b.MemorySwap); a.Memory == 0 || b.Memory == 0 {
		r.Memory, r.MemorySwap = 0, 0
	}
	return r
}

// Resize gives a running container the cpu and memory of spec, in a pod p. A
// limit of memory is not lowered below what is in use, by the kernel on cgroup v1
// and by libcontainer on v2.
func (c *Container) Resize(p *v1.Pod, spec *v1.Container) error {
	config := c.lc.Config()
	group, limits := *config.Cgroups, *config.Cgroups.Resources
	r := CPUAndMemory(ContainerResources(p, spec))
	limits.CpuShares, limits.CpuWeight, limits.CpuQuota, limits.CpuPeriod = r.CpuShares, r.CpuWeight, r.CpuQuota, r.CpuPeriod
	limits.Memory, limits.MemorySwap = r.Memory, r.MemorySwap
	limits.SkipDevices, limits.MemoryCheckBeforeUpdate = true, true
	group.Resources = &limits
	config.Cgroups = &group
	if err := c.lc.Set(config); err != nil {
		return fmt.Errorf("change the limits of container %s: %w", spec.Name, err)
	}
	return nil
}

// SameLimits reports whether a container has the same cpu and memory in both pods.
func SameLimits(before, after *v1.Pod, old, updated *v1.Container) bool {
	return reflect.DeepEqual(CPUAndMemory(ContainerResources(before, old)), CPUAndMemory(ContainerResources(after, updated)))
}
