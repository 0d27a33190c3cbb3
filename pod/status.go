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
		ObservedGeneration: s.pod.Generation,
		StartTime:          &start,
		QOSClass:           QOSClass(s.pod),
		HostIP:             old.HostIP, HostIPs: old.HostIPs,
		PodIP: old.PodIP, PodIPs: old.PodIPs,
	}
	for _, c := range s.init {
		st.InitContainerStatuses = append(st.InitContainerStatuses, s.containerStatus(c, now))
	}
	for _, c := range s.app {
		st.ContainerStatuses = append(st.ContainerStatuses, s.containerStatus(c, now))
	}
	for _, c := range s.ephemeral {
		cs := s.containerStatus(c, now)
		cs.Started, cs.Ready = nil, false // nobody probes it
		st.EphemeralContainerStatuses = append(st.EphemeralContainerStatuses, cs)
	}
	st.Phase = s.phase(&st, s.ended)
	if s.ending != nil && s.ending.Reason != "" {
		st.Phase, st.Reason, st.Message = v1.PodFailed, s.ending.Reason, s.ending.Message
	} else if s.suspending() {
		st.Reason, st.Message = shutdownReason, suspendedMessage
	}
	if s.ended {
		s.settle(&st, old.Conditions)
	}
	st.Conditions = s.conditions(&st, old.Conditions, now)
	st.Resources, st.AllocatedResources = s.resources(st.Phase)
	if terminal(st.Phase) && s.exist() {
		// Told when the last container has ended (kubelet, mergePodStatus).
		st.Phase, st.Reason, st.Message = cmp.Or(old.Phase, v1.PodPending), old.Reason, old.Message
	}
	// As the kubelet: init containers in the order of the spec, others by name.
	slices.SortFunc(st.ContainerStatuses, func(a, b v1.ContainerStatus) int { return cmp.Compare(a.Name, b.Name) })
	return st
}

func terminal(p v1.PodPhase) bool { return p == v1.PodSucceeded || p == v1.PodFailed }

// exist reports whether a process of any container may exist.
func (s *state) exist() bool {
	return slices.ContainsFunc(s.all, func(c *container) bool { return c.exists() })
}

// settle makes the status of a pod that is over final: what nobody can account
// for counts as failed, unless the pod never came so far as to run it (kubelet,
// status manager's TerminatePod).
func (s *state) settle(st *v1.PodStatus, old []v1.PodCondition) {
	if !terminal(st.Phase) {
		st.Phase = v1.PodFailed
	}
	begun := min(1, len(s.init))
	for i := range st.InitContainerStatuses {
		if cs := &st.InitContainerStatuses[i]; cs.State.Waiting == nil || cs.LastTerminationState.Terminated != nil {
			begun = i + 1
		}
	}
	account(st.InitContainerStatuses[:begun])
	if s.wasInitialized(st, old) {
		account(st.ContainerStatuses)
	}
}

// account marks as failed what has not ended.
func account(statuses []v1.ContainerStatus) {
	for i := range statuses {
		if statuses[i].State.Terminated == nil {
			end := unknownEnd
			statuses[i].State = v1.ContainerState{Terminated: &end}
		}
	}
}

// wasInitialized reports whether the containers may have run (kubelet,
// hasPodInitialized).
func (s *state) wasInitialized(st *v1.PodStatus, old []v1.PodCondition) bool {
	for i := range st.ContainerStatuses {
		if cs := &st.ContainerStatuses[i]; cs.State.Waiting == nil || cs.LastTerminationState.Terminated != nil {
			return true
		}
	}
	c := findCondition(old, v1.PodInitialized)
	return len(s.init) == 0 || s.initialized() || c != nil && c.Status == v1.ConditionTrue
}

func (s *state) containerStatus(c *container, now time.Time) v1.ContainerStatus {
	cs := v1.ContainerStatus{
		Name: c.Name, Image: c.Image, ImageID: c.ImageID, ContainerID: c.ContainerID,
		RestartCount: c.restarts(),
	}
	if cs.Image == "" {
		cs.Image = c.spec.Image
	}
	cs.State, cs.LastTerminationState = s.containerState(c, now)
	started := c.up() && c.Started
	cs.Started, cs.Ready = &started, c.up() && c.Ready
	if c.spec.Lifecycle != nil {
		cs.StopSignal = c.spec.Lifecycle.StopSignal
	}
	if c.init && !c.sidecar() {
		cs.Ready = cs.State.Terminated != nil && cs.State.Terminated.ExitCode == 0
	}
	if c.ContainerID != "" {
		cs.Resources, cs.AllocatedResources = c.inForce(), c.spec.Resources.Requests
		cs.User = c.User
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
	return cs
}

// restarts is the restart count: the attempt in hand shows once it runs.
func (c *container) restarts() int32 {
	n := c.Attempt
	switch {
	case c.Stage == stageExited && c.Counted:
		n++
	case c.Stage != stageExited && !c.up() && !c.Counted:
		n--
	}
	return int32(max(n, 0))
}

func (s *state) containerState(c *container, now time.Time) (state, last v1.ContainerState) {
	if c.up() {
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
			Message: fmt.Sprintf("Back-off pulling image %q: %s: %s", c.failedImage(), f.Reason, f.Message)}
	case s.restartingAll && c.Again == againAll && c.Counted:
		return &v1.ContainerStateWaiting{Reason: restartingAllContainers, Message: restartingAllMessage}
	case f != nil && f.Reason != containerCreating && (!f.passing() || now.Sub(f.At) < freshFor || !held):
		return &v1.ContainerStateWaiting{Reason: f.Reason, Message: f.Message}
	case c.Last != nil && held:
		return &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff",
			Message: fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", c.NotBefore.Length, c.Name, s.podName())}
	case c.Last != nil && c.Again != againAll && c.Again != againReplaced:
		return nil
	case len(s.init) > 0:
		return &v1.ContainerStateWaiting{Reason: "PodInitializing"}
	}
	return &v1.ContainerStateWaiting{Reason: containerCreating}
}

// steady reports whether the status stays as it is until something happens.
func (s *state) steady() bool {
	for _, c := range s.all {
		done := c.Stage == stageExited && c.Removed && !s.restarts(c)
		if !c.up() && !done || c.Failure != nil || c.Kill != nil || c.lost {
			return false
		}
	}
	return !s.halting() && !s.closing
}

// passing: the reason shows only as long as the failure is fresh.
func (w *Waiting) passing() bool {
	return w.Reason == runContainerError || w.Reason == postStartHookError
}

// statusChange is when the container's status changes by itself, zero if never.
func (c *container) statusChange(now time.Time) time.Time {
	if c.Failure == nil || c.Failure.Reason != errImagePull && !c.Failure.passing() {
		return time.Time{}
	}
	if at := c.Failure.At.Add(freshFor); now.Before(at) {
		return at
	}
	return time.Time{}
}

// setAddresses fills the status's addresses in both their forms.
func setAddresses(st *v1.PodStatus, cfg *Config) {
	if cfg.HostIP != "" {
		st.HostIP, st.HostIPs = cfg.HostIP, cfg.HostIPs
		if st.HostIPs == nil {
			st.HostIPs = []v1.HostIP{{IP: cfg.HostIP}}
		}
	}
	if cfg.PodIP != "" {
		st.PodIP, st.PodIPs = cfg.PodIP, cfg.PodIPs
		if st.PodIPs == nil {
			st.PodIPs = []v1.PodIP{{IP: cfg.PodIP}}
		}
	}
}
