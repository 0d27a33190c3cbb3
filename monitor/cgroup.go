package monitor

import (
	"errors"
	"fmt"

	"github.com/opencontainers/cgroups"
	"k8s.io/component-helpers/resource"

	"podrun/runtime"
	"podrun/sandbox"
)

// makeCgroup makes the pod's cgroup with its limits.
func (m *monitor) makeCgroup() error {
	if err := m.checkHugePages(); err != nil {
		return err
	}
	path := sandbox.PodPath(m.store.Instance, m.uid())
	if sandbox.HasCgroup(path) && m.checkpoint.last().EverStarted {
		return nil // the life knows which limits are in force, and changes them
	}
	r := runtime.PodResources(m.pod)
	if err := m.limitPIDs(r); err != nil {
		return err
	}
	_, err := sandbox.NewCgroup(path, r)
	return err
}

// limitPIDs sets the pod's number of processes: what was asked for, or else the
// default; -1 is no limit.
func (m *monitor) limitPIDs(r *cgroups.Resources) error {
	n := m.record.MaxPIDs
	switch {
	case n < 0:
		return nil
	case !runtime.HasController("pids"):
		if n > 0 {
			return errors.New("--pod-max-pids: this machine's cgroups have no pids controller")
		}
		return nil
	case n == 0:
		n = runtime.PIDs()
	}
	if n > 0 {
		r.PidsLimit = &n
	}
	return nil
}

// checkHugePages refuses a pod that asks for more huge pages than the machine
// has, as a kubelet does not admit it (OutOfhugepages-2Mi): the container would
// be killed at its first access to one.
func (m *monitor) checkHugePages() error {
	var errs []error
	for name, asked := range resource.PodRequests(m.pod, resource.PodResourcesOptions{ExcludeOverhead: true}) {
		size, ok := runtime.HugePageSize(name)
		if !ok || asked.IsZero() {
			continue
		}
		pages := runtime.HugePages(size)
		switch {
		case pages*size.Value() < asked.Value():
			errs = append(errs, fmt.Errorf("the pod requests %s of %s, and the machine has %d pages of %s: write a larger number to /sys/kernel/mm/hugepages/hugepages-%dkB/nr_hugepages",
				asked.String(), name, pages, size.String(), size.Value()>>10))
		case !runtime.HasController("hugetlb"):
			errs = append(errs, fmt.Errorf("%s cannot be limited: this machine's cgroups have no hugetlb controller", name))
		}
	}
	return errors.Join(errs...)
}
