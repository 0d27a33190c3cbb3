package pod

import (
	"slices"

	v1 "k8s.io/api/core/v1"
)

// IsSidecar reports whether an init container is kept running beside those
// that follow it.
func IsSidecar(c *v1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways
}

// Restarts reports whether a container that ended with the exit code is started
// again: by the first of its own rules that matches, or else by its own policy,
// or else by the pod's. It is upstream's ContainerShouldRestart (pkg/api/v1/pod).
// An init container that is no sidecar is only asked about after a failure.
func Restarts(spec *v1.PodSpec, c *v1.Container, exitCode int32) bool {
	if c.RestartPolicy != nil && matchingAction(c, exitCode) != "" {
		return true
	}
	switch restartPolicy(spec, c) {
	case v1.RestartPolicyNever:
		return false
	case v1.RestartPolicyOnFailure:
		return exitCode != 0
	}
	return true
}

// restartPolicy is the container's own policy, or else the pod's.
func restartPolicy(spec *v1.PodSpec, c *v1.Container) v1.RestartPolicy {
	if c.RestartPolicy != nil {
		return v1.RestartPolicy(*c.RestartPolicy)
	}
	return spec.RestartPolicy
}

// matchingAction is what the first restart rule asks for that matches the exit
// code; "" if none does.
func matchingAction(c *v1.Container, exitCode int32) v1.ContainerRestartRuleAction {
	for _, rule := range c.RestartPolicyRules {
		if rule.ExitCodes == nil {
			continue
		}
		in := slices.Contains(rule.ExitCodes.Values, exitCode)
		switch rule.ExitCodes.Operator {
		case v1.ContainerRestartRuleOnExitCodesOpIn:
			if in {
				return rule.Action
			}
		case v1.ContainerRestartRuleOnExitCodesOpNotIn:
			if !in {
				return rule.Action
			}
		}
	}
	return ""
}

// restartsAll reports whether the end of one container with the exit code makes
// all containers of the pod begin anew.
func restartsAll(c *v1.Container, exitCode int32) bool {
	return matchingAction(c, exitCode) == v1.ContainerRestartRuleActionRestartAllContainers
}

// mayRestartAll reports whether a rule of any container could ask for that.
func mayRestartAll(spec *v1.PodSpec) bool {
	for _, list := range [][]v1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			for _, rule := range list[i].RestartPolicyRules {
				if rule.Action == v1.ContainerRestartRuleActionRestartAllContainers {
					return true
				}
			}
		}
	}
	return false
}

// restarts reports whether the container is started again after its last end.
// One ended by its own probe counts as failed whatever its exit code was, as in
// the kubelet's computePodActions.
func (s *state) restarts(c *container) bool {
	switch {
	case c.Last == nil, c.Again == againAll, c.Again == againReplaced, c.sidecar():
		return true
	case c.ephemeral:
		return false
	case c.init && c.Again == againSandbox:
		return true
	case c.init && !c.Interrupted && c.Last.ExitCode == 0 && !s.oomFailed(c):
		return false
	case s.interrupted(c), c.ProbeKilled && restartPolicy(&s.pod.Spec, c.spec) != v1.RestartPolicyNever:
		return true
	}
	return Restarts(&s.pod.Spec, c.spec, c.Last.ExitCode)
}

// oomFailed: the kubelet counts an init container as failed of which a process
// was killed for memory, even if it then ended well, and starts it again where
// the policy has it.
func (s *state) oomFailed(c *container) bool {
	return c.Last.Reason == oomKilled && Restarts(&s.pod.Spec, c.spec, 0)
}

// succeeded reports whether an init container that is no sidecar has done its
// work in the present sandbox.
func (s *state) succeeded(c *container) bool {
	return c.Stage == stageExited && c.Again == "" && c.Last.ExitCode == 0 && !s.oomFailed(c)
}

// letsNext reports whether the init container lets the next one begin.
func (s *state) letsNext(c *container) bool {
	if c.sidecar() {
		return c.Stage == stageRunning && c.Started && !c.lost
	}
	return s.succeeded(c)
}

// initialized reports whether the containers may run: the last init container
// lets them, or one of them is already there. After that only sidecars are
// looked after among the init containers (kubelet, computeInitContainerActions).
func (s *state) initialized() bool {
	for _, c := range s.app {
		if c.here() {
			return true
		}
	}
	return len(s.init) == 0 || s.letsNext(s.init[len(s.init)-1])
}

// frontier is the index of the furthest init container that was begun in the
// present sandbox, -1 if none was.
func (s *state) frontier() int {
	if s.initialized() {
		return len(s.init) - 1
	}
	for i := len(s.init) - 1; i >= 0; i-- {
		if s.init[i].begun() {
			return i
		}
	}
	return -1
}

// finished reports whether nothing but sidecars runs or will ever run again: the
// containers have done what they had to, or an init container has failed for good.
func (s *state) finished() bool {
	for _, c := range s.init {
		if !c.sidecar() && c.Stage == stageExited && !s.succeeded(c) && !s.restarts(c) {
			return true
		}
	}
	for _, c := range s.app {
		if c.Stage != stageExited || s.restarts(c) {
			return false
		}
	}
	return true
}
