package cli

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"podrun/pod"
)

// verdict is what `up` makes of a pod's status.
type verdict int

const (
	waiting  verdict = iota
	arrived          // every container runs and is ready, or has finished as it should
	failed           // a container has failed for longer than a moment
	finished         // the pod has come to its end, and well
)

// judge decides whether `up` is done waiting. A container that failed once is
// restarted at once and may come up; one that is held back has failed. A readiness
// gate is opened by somebody who needs the pod first: it is not waited for.
func judge(p *v1.Pod, s *v1.PodStatus) verdict {
	switch s.Phase {
	case v1.PodSucceeded:
		return finished
	case v1.PodFailed:
		return failed
	}
	if slices.ContainsFunc(s.Conditions, func(c v1.PodCondition) bool {
		return c.Type == v1.AllContainersRestarting && c.Status == v1.ConditionTrue
	}) {
		return waiting // what has ended begins anew
	}
	all := arrived
	for i, c := range s.InitContainerStatuses {
		switch {
		case heldBack(&c):
			return failed
		case i < len(p.Spec.InitContainers) && pod.IsSidecar(&p.Spec.InitContainers[i]) && !c.Ready:
			all = waiting
		}
	}
	if len(s.ContainerStatuses) < len(p.Spec.Containers) {
		return waiting
	}
	for _, c := range s.ContainerStatuses {
		switch {
		case heldBack(&c), failedForGood(p, &c):
			return failed
		case c.Ready, finishedForGood(p, &c):
		default:
			all = waiting
		}
	}
	return all
}

// heldBack: the container waits for something that time alone may not bring.
func heldBack(c *v1.ContainerStatus) bool {
	if c.State.Waiting == nil {
		return false
	}
	switch c.State.Waiting.Reason {
	case "", "ContainerCreating", "PodInitializing":
		return false
	}
	return true
}

func finishedForGood(p *v1.Pod, c *v1.ContainerStatus) bool {
	return endedForGood(p, c) && c.State.Terminated.ExitCode == 0
}

func failedForGood(p *v1.Pod, c *v1.ContainerStatus) bool {
	return endedForGood(p, c) && c.State.Terminated.ExitCode != 0
}

// endedForGood: no policy starts the container again. A sidecar is always
// started again, while its pod goes on.
func endedForGood(p *v1.Pod, c *v1.ContainerStatus) bool {
	t := c.State.Terminated
	if t == nil {
		return false
	}
	for i := range p.Spec.Containers {
		if spec := &p.Spec.Containers[i]; spec.Name == c.Name {
			return !pod.Restarts(&p.Spec, spec, t.ExitCode)
		}
	}
	for i := range p.Spec.InitContainers {
		if spec := &p.Spec.InitContainers[i]; spec.Name == c.Name {
			return !pod.IsSidecar(spec) && (t.ExitCode == 0 || !pod.Restarts(&p.Spec, spec, t.ExitCode))
		}
	}
	return true
}

// shutGates are the readiness gates that keep a pod from being ready.
func shutGates(p *v1.Pod, s *v1.PodStatus) []string {
	var shut []string
	for _, gate := range p.Spec.ReadinessGates {
		open := slices.ContainsFunc(s.Conditions, func(c v1.PodCondition) bool {
			return c.Type == gate.ConditionType && c.Status == v1.ConditionTrue
		})
		if !open {
			shut = append(shut, string(gate.ConditionType))
		}
	}
	return shut
}

// expects says in a few words what a pod waits for.
func expects(p *v1.Pod, s *v1.PodStatus) string {
	var parts []string
	for i, c := range s.InitContainerStatuses {
		switch sidecar := i < len(p.Spec.InitContainers) && pod.IsSidecar(&p.Spec.InitContainers[i]); {
		case c.State.Terminated != nil && c.State.Terminated.ExitCode == 0 && !sidecar, sidecar && c.Ready:
		case sidecar && c.State.Running != nil && c.Started != nil && *c.Started:
			parts = append(parts, "sidecar "+c.Name+": its readiness probe")
		case sidecar && c.State.Running != nil:
			return fmt.Sprintf("sidecar %s: its startup probe", c.Name)
		default:
			return fmt.Sprintf("init container %s: %s", c.Name, describeState(&c))
		}
	}
	for _, c := range s.ContainerStatuses {
		switch {
		case c.Ready, finishedForGood(p, &c):
		case c.State.Running != nil && c.Started != nil && !*c.Started:
			parts = append(parts, c.Name+": its startup probe")
		case c.State.Running != nil && readinessProbed(p, c.Name):
			parts = append(parts, c.Name+": its readiness probe")
		case c.State.Running != nil:
			// Only one that is being ended is not ready without a probe.
			parts = append(parts, c.Name+": its end, to start again")
		default:
			parts = append(parts, c.Name+": "+describeState(&c))
		}
	}
	if len(parts) == 0 {
		return "containers"
	}
	return strings.Join(parts, ", ")
}

func readinessProbed(p *v1.Pod, name string) bool {
	return slices.ContainsFunc(p.Spec.Containers, func(c v1.Container) bool {
		return c.Name == name && c.ReadinessProbe != nil
	})
}

// describeState puts a container's state into a few words.
func describeState(c *v1.ContainerStatus) string {
	switch {
	case c == nil:
		return "not created yet"
	case c.State.Running != nil:
		return "Running"
	case c.State.Terminated != nil:
		t := c.State.Terminated
		if t.ExitCode == 0 {
			return t.Reason
		}
		return fmt.Sprintf("%s, exit code %d", t.Reason, t.ExitCode)
	case c.State.Waiting != nil && c.State.Waiting.Reason != "":
		return c.State.Waiting.Reason
	}
	return "Waiting"
}

// failures describes every container that has failed, one line each.
func failures(s *v1.PodStatus) []failure {
	var list []failure
	for _, statuses := range [][]v1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses} {
		for _, c := range statuses {
			if f, ok := failureOf(c); ok {
				list = append(list, f)
			}
		}
	}
	return list
}

// failure is a failed container and, where it ran, the attempt whose log tells why.
type failure struct {
	container string
	text      string
	attempt   int // -1: it never ran
}

func failureOf(c v1.ContainerStatus) (failure, bool) {
	f := failure{container: c.Name, attempt: -1}
	ended := c.State.Terminated
	if ended == nil {
		ended = c.LastTerminationState.Terminated
	}
	if ended != nil && ended.ExitCode != 0 && ended.Reason != "StartError" {
		f.attempt = int(c.RestartCount)
		if c.State.Terminated == nil && c.State.Waiting == nil {
			f.attempt--
		}
	}
	switch {
	case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0:
		f.text = describeEnd(c.State.Terminated)
	case c.State.Waiting != nil && heldBack(&c):
		f.text = c.State.Waiting.Reason
		if c.State.Waiting.Message != "" {
			f.text += ": " + c.State.Waiting.Message
		}
		if ended != nil {
			f.text += " (" + describeEnd(ended) + ")"
		}
	default:
		return f, false
	}
	return f, true
}

func describeEnd(t *v1.ContainerStateTerminated) string {
	text := fmt.Sprintf("%s, exit code %d", t.Reason, t.ExitCode)
	if t.Message != "" {
		text += ": " + strings.TrimSpace(t.Message)
	}
	return text
}
