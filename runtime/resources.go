package runtime

import (
	"os"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/cgroups"
	v1 "k8s.io/api/core/v1"
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

// ContainerResources are the cgroup limits of one container.
func ContainerResources(r v1.ResourceRequirements) *cgroups.Resources {
	limited := limits(r.Requests.Cpu().MilliValue(), r.Limits.Cpu().MilliValue(), r.Limits.Memory().Value())
	if cgroups.IsCgroup2UnifiedMode() {
		// The kubelet's singleProcessOOMKill is off on v2: a container that has lost
		// a worker would go on half dead.
		limited.Unified = map[string]string{"memory.oom.group": "1"}
	}
	return limited
}

// PodResources are the limits of the pod's cgroup: the sum of its containers'
// requests, and of their limits where all have one. Init containers run alone,
// so that the largest of them counts (kubelet, ResourceConfigForPod).
func PodResources(spec *v1.PodSpec) *cgroups.Resources {
	var request, cpu, memory int64
	allCPU, allMemory := true, true
	for i := range spec.Containers {
		r := &spec.Containers[i].Resources
		request += r.Requests.Cpu().MilliValue()
		cpu += r.Limits.Cpu().MilliValue()
		memory += r.Limits.Memory().Value()
		allCPU = allCPU && !r.Limits.Cpu().IsZero()
		allMemory = allMemory && !r.Limits.Memory().IsZero()
	}
	for i := range spec.InitContainers {
		r := &spec.InitContainers[i].Resources
		request = max(request, r.Requests.Cpu().MilliValue())
		cpu = max(cpu, r.Limits.Cpu().MilliValue())
		memory = max(memory, r.Limits.Memory().Value())
		allCPU = allCPU && !r.Limits.Cpu().IsZero()
		allMemory = allMemory && !r.Limits.Memory().IsZero()
	}
	if !allCPU {
		cpu = 0
	}
	if !allMemory {
		memory = 0
	}
	return limits(request, cpu, memory)
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
func OOMScore(class v1.PodQOSClass, requestedMemory, machineMemory int64) int {
	score := 1000
	switch class {
	case v1.PodQOSGuaranteed:
		score = -997
	case v1.PodQOSBurstable:
		score = int(1000 - 1000*requestedMemory/max(machineMemory, 1))
		score = min(max(score, 3), 999)
	}
	return max(score, lowestOOMScore())
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
