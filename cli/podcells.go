package cli

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"podrun/pod"
)

// podCells are the columns of one pod, by the rules of kubectl's printer
// (pkg/printers/internalversion, printPod).
func podCells(p *v1.Pod, now time.Time) []string {
	summary := podSummary{word: string(p.Status.Phase)}
	if p.Status.Reason != "" {
		summary.word = p.Status.Reason
	}
	total := len(p.Spec.Containers)
	for i := range p.Spec.InitContainers {
		if pod.IsSidecar(&p.Spec.InitContainers[i]) {
			total++
		}
	}
	if initializing := summary.init(p); !initializing || conditionTrue(p, v1.PodInitialized) {
		summary.containers(p)
	}
	if p.DeletionTimestamp != nil && p.Status.Phase != v1.PodSucceeded && p.Status.Phase != v1.PodFailed {
		summary.word = "Terminating"
	}
	if p.DeletionTimestamp == nil && pod.Suspended(&p.Status) {
		summary.word = "Suspended"
	}
	ip := p.Status.PodIP
	if ip == "" {
		ip = "<none>"
	}
	return []string{
		p.Name, fmt.Sprintf("%d/%d", summary.ready, total), summary.word, summary.restarted.text(now),
		age(p.CreationTimestamp.Time, now), ip,
	}
}

// podSummary is what the columns tell of a pod's containers.
type podSummary struct {
	word      string
	ready     int
	restarted restarts
	sidecars  restarts
}

// restarts of some containers, and when the last was.
type restarts struct {
	n    int
	last time.Time
}

func (r *restarts) add(c *v1.ContainerStatus) {
	r.n += int(c.RestartCount)
	if t := c.LastTerminationState.Terminated; t != nil && t.FinishedAt.After(r.last) {
		r.last = t.FinishedAt.Time
	}
}

func (r *restarts) text(now time.Time) string {
	if r.n == 0 || r.last.IsZero() {
		return strconv.Itoa(r.n)
	}
	return fmt.Sprintf("%d (%s ago)", r.n, duration.HumanDuration(now.Sub(r.last)))
}

// init looks at the init containers, up to the first that the pod waits for, and
// reports whether there is one.
func (s *podSummary) init(p *v1.Pod) bool {
	sidecars := map[string]bool{}
	for i := range p.Spec.InitContainers {
		sidecars[p.Spec.InitContainers[i].Name] = pod.IsSidecar(&p.Spec.InitContainers[i])
	}
	for i := range p.Status.InitContainerStatuses {
		c := &p.Status.InitContainerStatuses[i]
		s.restarted.add(c)
		if sidecars[c.Name] {
			s.sidecars.add(c)
		}
		t, w := c.State.Terminated, c.State.Waiting
		switch {
		case t != nil && t.ExitCode == 0:
			continue
		case sidecars[c.Name] && c.Started != nil && *c.Started:
			if c.Ready {
				s.ready++
			}
			continue
		case t != nil:
			s.word = "Init:" + endWord(t)
		case w != nil && w.Reason != "" && w.Reason != "PodInitializing":
			s.word = "Init:" + w.Reason
		default:
			s.word = fmt.Sprintf("Init:%d/%d", i, len(p.Spec.InitContainers))
		}
		return true
	}
	return false
}

func endWord(t *v1.ContainerStateTerminated) string {
	switch {
	case t.Reason != "":
		return t.Reason
	case t.Signal != 0:
		return fmt.Sprintf("Signal:%d", t.Signal)
	}
	return fmt.Sprintf("ExitCode:%d", t.ExitCode)
}

func (s *podSummary) containers(p *v1.Pod) {
	s.restarted = s.sidecars
	running, failed := false, ""
	for i := len(p.Status.ContainerStatuses) - 1; i >= 0; i-- {
		c := &p.Status.ContainerStatuses[i]
		s.restarted.add(c)
		t, w := c.State.Terminated, c.State.Waiting
		switch {
		case w != nil && w.Reason != "":
			s.word = w.Reason
		case t != nil:
			s.word = endWord(t)
			if t.ExitCode != 0 {
				failed = s.word
			}
		case c.Ready && c.State.Running != nil:
			running = true
			s.ready++
		}
	}
	// A pod whose other containers still run has not completed.
	if s.word != "Completed" {
		return
	}
	switch {
	case running && conditionTrue(p, v1.PodReady):
		s.word = "Running"
	case failed != "":
		s.word = failed
	case running:
		s.word = "NotReady"
	}
}

func conditionTrue(p *v1.Pod, kind v1.PodConditionType) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c v1.PodCondition) bool {
		return c.Type == kind && c.Status == v1.ConditionTrue
	})
}

func age(from, now time.Time) string {
	if from.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(now.Sub(from))
}
