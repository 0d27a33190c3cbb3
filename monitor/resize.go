package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"

	"podrun/pod"
	"podrun/runtime"
	"podrun/sandbox"
)

// Resize changes the cgroups of the pod and of its running containers; see
// [pod.Runtime]. Before any of them may have more the pod's has it, and after all
// of them have less the pod's does (kubelet, doPodResizeAction).
func (m containers) Resize(_ context.Context, r pod.Resizing) error {
	if err := m.settled(); err != nil {
		return err
	}
	path := sandbox.PodPath(m.store.Instance, m.uid())
	before, after := runtime.PodResources(r.Before), runtime.PodResources(r.After)
	if err := m.checkUsage(path, r); err != nil {
		return err
	}
	if err := sandbox.LimitCgroup(path, runtime.AtLeast(before, after)); err != nil {
		return err
	}
	var errs []error
	old, updated := all(r.Before), all(r.After)
	for i, c := range updated {
		number, runs := r.Attempts[c.Name]
		a := m.find(c.Name, number)
		if !runs || a == nil || a.container == nil || runtime.SameLimits(r.Before, r.After, &old[i], &c) {
			continue
		}
		errs = append(errs, a.container.Resize(r.After, &c))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return sandbox.LimitCgroup(path, runtime.CPUAndMemory(after))
}

// checkUsage refuses to lower a limit of memory below what is in use, before
// anything is changed; in the kubelet's words (validateMemoryResizeAction).
func (m containers) checkUsage(path string, r pod.Resizing) error {
	var errs []error
	lowers := func(was, is int64) bool { return is != 0 && is < was }
	before, after := runtime.PodResources(r.Before).Memory, runtime.PodResources(r.After).Memory
	if usage := sandbox.MemoryUsage(path); lowers(before, after) && usage >= after {
		errs = append(errs, fmt.Errorf("attempting to set pod memory limit (%d) below current usage (%d)", after, usage))
	}
	old := all(r.Before)
	for i, c := range all(r.After) {
		number, runs := r.Attempts[c.Name]
		was, is := runtime.ContainerResources(r.Before, &old[i]).Memory, runtime.ContainerResources(r.After, &c).Memory
		if !runs || !lowers(was, is) {
			continue
		}
		usage := sandbox.MemoryUsage(sandbox.ContainerPath(m.store.Instance, m.uid(), ID(c.Name, number)))
		if usage >= is {
			errs = append(errs, fmt.Errorf("attempting to set container %q memory limit (%d) below current usage (%d)", c.Name, is, usage))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("cannot decrease memory limits: %w", utilerrors.NewAggregate(errs))
	}
	return nil
}

// all are the containers of a pod in the order in which they start.
func all(p *v1.Pod) []v1.Container {
	return slices.Concat(p.Spec.InitContainers, p.Spec.Containers)
}
