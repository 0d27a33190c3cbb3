package runtime

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/cgroups"
	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
)

// The kubelet's translation of cpu quantities (pkg/kubelet/cm/helpers_linux.go).
const (
	minShares = 2
	maxShares = 262144
	period    = 100000 // microseconds
	minQuota  = 1000   // the kernel's minimum
)

// shares of a cpu request in thousandths of a cpu.
func shares(milli int64) uint64 {
	return uint64(min(max(milli*1024/1000, minShares), maxShares))
}

// quota in microseconds per period; 0 is none.
func quota(milli int64) int64 {
	if milli == 0 {
		return 0
	}
	return max(milli*period/1000, minQuota)
}

// ContainerResources are the cgroup limits of one container of the pod: its own,
// and those of the pod where it has none (kubelet, generateLinuxContainerResources).
func ContainerResources(p *v1.Pod, c *v1.Container) *cgroups.Resources {
	own := c.Resources
	cpu, memory := own.Limits.Cpu(), own.Limits.Memory()
	if r := p.Spec.Resources; r != nil {
		if cpu.IsZero() {
			cpu = r.Limits.Cpu()
		}
		if memory.IsZero() {
			memory = r.Limits.Memory()
		}
	}
	request := own.Requests.Cpu()
	if _, set := own.Requests[v1.ResourceCPU]; !set && !cpu.IsZero() {
		request = cpu
	}
	limited := limits(request.MilliValue(), cpu.MilliValue(), memory.Value())
	limited.HugetlbLimit = containerHugePages(p, c)
	if cgroups.IsCgroup2UnifiedMode() {
		// The kubelet's singleProcessOOMKill is off on v2: a container that has lost
		// a worker would go on half dead.
		limited.Unified = map[string]string{"memory.oom.group": "1"}
	}
	return limited
}

// PodResources are the limits of the pod's cgroup (kubelet, ResourceConfigForPod):
// the pod's own, or else the sum of its containers' requests, and of their limits
// where all have one.
func PodResources(p *v1.Pod) *cgroups.Resources {
	allCPU, allMemory := true, true
	limit := resource.PodLimits(p, resource.PodResourcesOptions{
		ExcludeOverhead: true, // it is what a sandbox of its own kernel needs
		ContainerFn: func(r v1.ResourceList, _ resource.ContainerType) {
			allCPU = allCPU && !r.Cpu().IsZero()
			allMemory = allMemory && !r.Memory().IsZero()
		},
	})
	if own := p.Spec.Resources; own != nil {
		allCPU = allCPU || !own.Limits.Cpu().IsZero()
		allMemory = allMemory || !own.Limits.Memory().IsZero()
	}
	var cpu, memory int64
	if allCPU {
		cpu = limit.Cpu().MilliValue()
	}
	if allMemory {
		memory = limit.Memory().Value()
	}
	request := resource.PodRequests(p, resource.PodResourcesOptions{ExcludeOverhead: true})
	r := limits(request.Cpu().MilliValue(), cpu, memory)
	r.HugetlbLimit = hugePages(request)
	return r
}

// limits fills both the v1 and the v2 fields. Swap is not given beyond memory,
// the kubelet's NoSwap.
func limits(requestMilli, limitMilli, memory int64) *cgroups.Resources {
	r := &cgroups.Resources{CpuShares: shares(requestMilli)}
	r.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(r.CpuShares)
	if q := quota(limitMilli); q != 0 {
		r.CpuQuota, r.CpuPeriod = q, period
	}
	if memory != 0 {
		r.Memory, r.MemorySwap = memory, memory
	}
	return r
}

// OOMScore is the kubelet's oom_score_adj (pkg/kubelet/qos/policy.go) for a
// container of a pod of the given class on a machine with the given bytes of
// memory, raised to what this process may set: lowering it takes
// CAP_SYS_RESOURCE.
func OOMScore(class v1.PodQOSClass, p *v1.Pod, c *v1.Container, machineMemory int64) int {
	return max(oomScore(class, p, c, max(machineMemory, 1)), lowestOOMScore())
}

func oomScore(class v1.PodQOSClass, p *v1.Pod, c *v1.Container, machineMemory int64) int {
	const guaranteed, bestEffort = -997, 1000
	switch class {
	case v1.PodQOSGuaranteed:
		return guaranteed
	case v1.PodQOSBestEffort:
		return bestEffort
	}
	requested := c.Resources.Requests.Memory().Value()
	if isSidecar(p, c) {
		// A sidecar outlives the containers that it serves.
		requested = max(requested, leastRequested(p))
	}
	requested += unassigned(p)
	score := int(bestEffort - 1000*requested/machineMemory)
	return min(max(score, bestEffort+guaranteed), bestEffort-1)
}

func isSidecar(p *v1.Pod, c *v1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways &&
		slices.ContainsFunc(p.Spec.InitContainers, func(i v1.Container) bool { return i.Name == c.Name })
}

// leastRequested is the smallest memory request of the pod's containers.
func leastRequested(p *v1.Pod) int64 {
	least := p.Spec.Containers[0].Resources.Requests.Memory().Value()
	for i := range p.Spec.Containers {
		least = min(least, p.Spec.Containers[i].Resources.Requests.Memory().Value())
	}
	return least
}

// unassigned is each container's share of the memory that the pod requests
// beyond what its containers do.
func unassigned(p *v1.Pod) int64 {
	if p.Spec.Resources == nil || p.Spec.Resources.Requests.Memory().IsZero() {
		return 0
	}
	assigned := resource.AggregateContainerRequests(p, resource.PodResourcesOptions{})
	rest := p.Spec.Resources.Requests.Memory().Value() - assigned.Memory().Value()
	return rest / int64(len(p.Spec.Containers)+len(p.Spec.InitContainers))
}

// lowestOOMScore is the least value that the kernel lets this process set.
func lowestOOMScore() int {
	if self, err := capability.NewPid2(0); err == nil && self.Load() == nil &&
		self.Get(capability.EFFECTIVE, capability.CAP_SYS_RESOURCE) {
		return -1000
	}
	data, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return 0
	}
	own, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return own
}
