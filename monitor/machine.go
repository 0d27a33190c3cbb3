package monitor

import (
	goruntime "runtime"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// allocatable is what the machine has for pods: everything, for nothing is set
// aside. The downward API gives it as the limit of a container without one.
func (m *monitor) allocatable() v1.ResourceList {
	list := v1.ResourceList{
		v1.ResourceCPU:    *resource.NewQuantity(int64(goruntime.NumCPU()), resource.DecimalSI),
		v1.ResourceMemory: *resource.NewQuantity(machineMemory(), resource.BinarySI),
	}
	var disk unix.Statfs_t
	if unix.Statfs(m.store.PodDir(m.uid()), &disk) == nil {
		size := int64(disk.Blocks) * disk.Bsize
		list[v1.ResourceEphemeralStorage] = *resource.NewQuantity(size, resource.BinarySI)
	}
	return list
}

// machineMemory is the machine's memory in bytes.
func machineMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}
