package cli

import (
	"fmt"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// podCells are the columns of one pod, by the rules of kubectl's printer
// (pkg/printers/internalversion, printPod).
func podCells(p *v1.Pod, now time.Time) []string {
	ready := 0
	for _, c := range p.Status.ContainerStatuses {
		if c.Ready && c.State.Running != nil {
			ready++
		}
	}
	ip := p.Status.PodIP
	if ip == "" {
		ip = "<none>"
	}
	return []string{
		p.Name, fmt.Sprintf("%d/%d", ready, len(p.Spec.Containers)), statusWord(p), restarts(p, now),
		age(p.CreationTimestamp.Time, now), ip,
	}
}

// statusWord is the STATUS column.
func statusWord(p *v1.Pod) string {
	word := string(p.Status.Phase)
	if p.Status.Reason != "" {
		word = p.Status.Reason
	}
	if init, ok := initWord(p); ok {
		word = init
	} else {
		word = containersWord(p, word)
	}
	if p.DeletionTimestamp != nil {
		word = "Terminating"
	}
	return word
}

// initWord is the status while init containers have not all succeeded.
func initWord(p *v1.Pod) (string, bool) {
	total := len(p.Spec.InitContainers)
	for i, c := range p.Status.InitContainerStatuses {
		t, w := c.State.Terminated, c.State.Waiting
		switch {
		case t != nil && t.ExitCode == 0:
			continue
		case t != nil && t.Reason != "":
			return "Init:" + t.Reason, true
		case t != nil && t.Signal != 0:
			return fmt.Sprintf("Init:Signal:%d", t.Signal), true
		case t != nil:
			return fmt.Sprintf("Init:ExitCode:%d", t.ExitCode), true
		case w != nil && w.Reason != "" && w.Reason != "PodInitializing":
			return "Init:" + w.Reason, true
		}
		return fmt.Sprintf("Init:%d/%d", i, total), true
	}
	return "", false
}

func containersWord(p *v1.Pod, word string) string {
	running := false
	for i := len(p.Status.ContainerStatuses) - 1; i >= 0; i-- {
		c := p.Status.ContainerStatuses[i]
		t, w := c.State.Terminated, c.State.Waiting
		switch {
		case w != nil && w.Reason != "":
			word = w.Reason
		case t != nil && t.Reason != "":
			word = t.Reason
		case t != nil && t.Signal != 0:
			word = fmt.Sprintf("Signal:%d", t.Signal)
		case t != nil:
			word = fmt.Sprintf("ExitCode:%d", t.ExitCode)
		case c.Ready && c.State.Running != nil:
			running = true
		}
	}
	// A pod whose other containers still run has not completed.
	if word == "Completed" && running {
		word = "NotReady"
		for _, c := range p.Status.Conditions {
			if c.Type == v1.PodReady && c.Status == v1.ConditionTrue {
				word = "Running"
			}
		}
	}
	return word
}

// restarts counts those of all containers, and says when the last was.
func restarts(p *v1.Pod, now time.Time) string {
	n := 0
	var last time.Time
	for _, list := range [][]v1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for _, c := range list {
			n += int(c.RestartCount)
			if t := c.LastTerminationState.Terminated; t != nil && t.FinishedAt.After(last) {
				last = t.FinishedAt.Time
			}
		}
	}
	if n == 0 || last.IsZero() {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d (%s ago)", n, duration.HumanDuration(now.Sub(last)))
}

func age(from, now time.Time) string {
	if from.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(now.Sub(from))
}
