package pod

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
)

// freshFor is how long a container shows the error that it could not be made
// with, before it shows that it is being held back: about what passes in a
// kubelet until its next look at the pod.
const freshFor = time.Second

// unknownEnd is what the kubelet's status manager writes for a container that a
// pod which is gone cannot account for.
var unknownEnd = v1.ContainerStateTerminated{
	Reason:   "ContainerStatusUnknown",
	Message:  "The container could not be located when the pod was terminated",
	ExitCode: 137,
}

// status is the pod's status at the moment now. Conditions that have not changed
// since old keep their times. The steps on the way to it find the container
// statuses in the order of the spec.
func (s *state) status(old v1.PodStatus, now time.Time) v1.PodStatus {
	start := apiTime(s.started)
	st := v1.PodStatus{
		StartTime: &start,
		QOSClass:  QOSClass(s.pod),
		HostIP:    old.HostIP, HostIPs: old.HostIPs,
		PodIP: old.PodIP, PodIPs: old.PodIPs,
	}
	for _, c := range s.init {
		st.InitContainerStatuses = append(st.InitContainerStatuses, s.containerStatus(c, now))
	}
	for _, c := range s.app {
		st.ContainerStatuses = append(st.ContainerStatuses, s.containerStatus(c, now))
	}
	st.Phase = s.phase(&st)
	if s.ended && s.stop != nil {
		s.settle(&st)
	}
	st.Conditions = s.conditions(&st, old.Conditions, now)
	// As the kubelet: init containers in the order of the spec, others by name.
	slices.SortFunc(st.ContainerStatuses, func(a, b v1.ContainerStatus) int { return cmp.Compare(a.Name, b.Name) })
	return st
}

// settle makes the status of a stopped pod final: what had not run counts as
// failed, unless the pod never came so far as to run it.
func (s *state) settle(st *v1.PodStatus) {
	if s.initialized() {
		for i := range st.ContainerStatuses {
			if cs := &st.ContainerStatuses[i]; cs.State.Terminated == nil {
				end := unknownEnd
				cs.State = v1.ContainerState{Terminated: &end}
			}
		}
	}
	if st.Phase = s.phase(st); st.Phase != v1.PodSucceeded {
		st.Phase = v1.PodFailed
	}
}

func (s *state) containerStatus(c *container, now time.Time) v1.ContainerStatus {
	started := c.Stage == stageRunning && c.Started
	cs := v1.ContainerStatus{
		Name: c.Name, Image: c.Image, ImageID: c.ImageID, ContainerID: c.ContainerID,
		Started: &started, Ready: c.Stage == stageRunning && c.Ready,
		RestartCount: int32(c.Attempt),
	}
	if cs.Image == "" {
		cs.Image = c.spec.Image
	}
	if c.init {
		cs.Ready = c.succeeded()
	}
	if c.Stage != stageRunning && c.Stage != stageExited {
		cs.RestartCount = int32(max(c.Attempt-1, 0)) // the attempt in hand shows once it runs
	}
	for _, m := range c.spec.VolumeMounts {
		vm := v1.VolumeMountStatus{Name: m.Name, MountPath: m.MountPath, ReadOnly: m.ReadOnly}
		if m.ReadOnly {
			mode := v1.RecursiveReadOnlyDisabled
			if s.recursive != nil && s.recursive(&m) {
				mode = v1.RecursiveReadOnlyEnabled
			}
			vm.RecursiveReadOnly = &mode
		}
		cs.VolumeMounts = append(cs.VolumeMounts, vm)
	}
	cs.State, cs.LastTerminationState = s.containerState(c, now)
	return cs
}

func (s *state) containerState(c *container, now time.Time) (state, last v1.ContainerState) {
	if c.Stage == stageRunning {
		state.Running = &v1.ContainerStateRunning{StartedAt: apiTime(c.StartedAt)}
		last.Terminated = c.Last
		return state, last
	}
	if w := s.waitingState(c, now); w != nil {
		state.Waiting = w
		last.Terminated = c.Last
		return state, last
	}
	state.Terminated = c.Last
	last.Terminated = c.Previous
	return state, last
}

// waitingState is why the container waits, nil when it rather shows its last
// end: because it stays so, or because the next attempt is on its way.
func (s *state) waitingState(c *container, now time.Time) *v1.ContainerStateWaiting {
	held := !c.NotBefore.passed(now) && !c.onTheWay()
	switch f := c.Failure; {
	case c.Last != nil && (s.leaving() || c.Stage == stageExited && !s.restarts(c)):
		return nil
	case f != nil && f.Reason == errImagePull && now.Sub(f.At) >= freshFor:
		return &v1.ContainerStateWaiting{Reason: "ImagePullBackOff",
			Message: fmt.Sprintf("Back-off pulling image %q: %s: %s", c.spec.Image, f.Reason, f.Message)}
	case f != nil && (f.Reason != runContainerError || now.Sub(f.At) < freshFor || !held):
		return &v1.ContainerStateWaiting{Reason: f.Reason, Message: f.Message}
	case c.Last != nil && held:
		return &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff",
			Message: fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", c.NotBefore.Length, c.Name, s.podName())}
	case c.Last != nil:
		return nil
	case len(s.init) > 0:
		return &v1.ContainerStateWaiting{Reason: "PodInitializing"}
	}
	return &v1.ContainerStateWaiting{Reason: "ContainerCreating"}
}

// statusChange is when the container's status changes by itself, zero if never.
func (c *container) statusChange(now time.Time) time.Time {
	if c.Failure == nil || c.Failure.Reason != errImagePull && c.Failure.Reason != runContainerError {
		return time.Time{}
	}
	if at := c.Failure.At.Add(freshFor); now.Before(at) {
		return at
	}
	return time.Time{}
}

// setAddresses fills the status's addresses in both their forms.
func setAddresses(st *v1.PodStatus, hostIP, podIP string) {
	if hostIP != "" {
		st.HostIP, st.HostIPs = hostIP, []v1.HostIP{{IP: hostIP}}
	}
	if podIP != "" {
		st.PodIP, st.PodIPs = podIP, []v1.PodIP{{IP: podIP}}
	}
}
