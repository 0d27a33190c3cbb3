package pod

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// change makes of a container what a test needs.
type change = func(*container)

// exited is a container that ended with the code, cleared up after.
func exited(code int32) change {
	return func(c *container) {
		c.Stage, c.Removed, c.Last = stageExited, true, &v1.ContainerStateTerminated{ExitCode: code}
	}
}

func at(st stage) change {
	return func(c *container) {
		c.Stage = st
		c.flight = st == stagePreparing || st == stageStarting
		c.Started = st == stageRunning
	}
}

func held(length time.Duration) change {
	return func(c *container) { c.NotBefore = after(noon, length) }
}

func (p plan) String() string {
	verbs := [...]string{"prepare", "start", "terminate", "kill", "remove", "cancel", "probe"}
	var words []string
	for _, a := range p.actions {
		words = append(words, verbs[a.kind]+" "+a.on.Name)
	}
	if !p.wake.IsZero() {
		words = append(words, fmt.Sprintf("wake in %v", p.wake.Sub(noon)))
	}
	if p.done {
		words = append(words, "done")
	}
	return strings.Join(words, ", ")
}

func TestPlan(t *testing.T) {
	begun := func(s *state) { s.everStarted = true }
	stopped := func(left time.Duration) func(*state) {
		return func(s *state) { s.everStarted, s.stop = true, &Stop{Deadline: after(noon, left)} }
	}
	for _, tt := range []struct {
		name   string
		policy v1.RestartPolicy
		pod    func(*state)
		c      map[string][]change // of a pod of i, j (init), a, b
		want   string
	}{
		{"nothing yet", v1.RestartPolicyAlways, nil, nil, "prepare i"},
		{"one at a time", v1.RestartPolicyAlways, begun, map[string][]change{"i": {at(stageRunning)}}, ""},
		{"the next", v1.RestartPolicyAlways, begun, map[string][]change{"i": {exited(0)}}, "prepare j"},
		{"one that failed", v1.RestartPolicyOnFailure, begun, map[string][]change{"i": {exited(1)}}, "prepare i"},
		{"one that failed, later", v1.RestartPolicyAlways, begun, map[string][]change{"i": {exited(1), held(time.Second)}}, "wake in 1s"},
		{"one that failed, for good", v1.RestartPolicyNever, begun, map[string][]change{"i": {exited(1)}}, "done"},
		{"all at once", v1.RestartPolicyAlways, begun, map[string][]change{"i": {exited(0)}, "j": {exited(0)}}, "prepare a, prepare b"},
		{"b waits for a", v1.RestartPolicyAlways, begun, map[string][]change{
			"i": {exited(0)}, "j": {exited(0)}, "a": {at(stagePreparing)}, "b": {at(stagePrepared)}}, ""},
		{"a starts first", v1.RestartPolicyAlways, begun, map[string][]change{
			"i": {exited(0)}, "j": {exited(0)}, "a": {at(stagePrepared)}, "b": {at(stagePrepared)}}, "start a"},
		{"b after a", v1.RestartPolicyAlways, begun, map[string][]change{
			"i": {exited(0)}, "j": {exited(0)}, "a": {at(stageRunning)}, "b": {at(stagePrepared)}}, "start b"},
		{"b does not wait for an a that fails", v1.RestartPolicyAlways, begun, map[string][]change{
			"i": {exited(0)}, "j": {exited(0)}, "a": {held(time.Second)}, "b": {at(stagePrepared)}}, "start b, wake in 1s"},
		{"a restarts beside b", v1.RestartPolicyAlways, begun, map[string][]change{
			"i": {exited(0)}, "j": {exited(0)}, "a": {exited(1)}, "b": {at(stageRunning)}}, "prepare a"},
		{"cleared up before", v1.RestartPolicyAlways, begun, map[string][]change{
			"i": {exited(0)}, "j": {exited(0)}, "a": {exited(1), func(c *container) { c.Removed = false }}, "b": {at(stageRunning)}}, "remove a"},
		{"all well", v1.RestartPolicyOnFailure, begun, map[string][]change{
			"i": {exited(0)}, "j": {exited(0)}, "a": {exited(0)}, "b": {exited(0)}}, "done"},
		{"one well", v1.RestartPolicyOnFailure, begun, map[string][]change{
			"i": {exited(0)}, "j": {exited(0)}, "a": {exited(0)}, "b": {exited(1), held(time.Second)}}, "wake in 1s"},
		{"stop: every stage", v1.RestartPolicyAlways, stopped(time.Minute), map[string][]change{
			"i": {at(stagePreparing)}, "j": {at(stagePrepared)}, "a": {at(stageRunning)}, "b": {at(stageStarting)}},
			"cancel i, remove j, terminate a, cancel b"},
		{"stop: grace over", v1.RestartPolicyAlways, stopped(0), map[string][]change{
			"i": {exited(0)}, "j": {exited(0)}, "a": {at(stageRunning)}, "b": {exited(1)}}, "kill a"},
		{"stop: done", v1.RestartPolicyAlways, stopped(time.Minute), map[string][]change{
			"i": {exited(0)}, "j": {exited(0)}, "a": {held(time.Second)}, "b": {exited(1), held(time.Second)}}, "done"},
		{"stop: one is lost", v1.RestartPolicyAlways, stopped(0), map[string][]change{
			"i": {at(stageRunning), func(c *container) { c.lost = true }}}, ""},
		{"killed by its probe", v1.RestartPolicyAlways, begun, map[string][]change{
			"i": {exited(0)}, "j": {exited(0)}, "b": {at(stageRunning)},
			"a": {at(stageRunning), func(c *container) { c.Kill = ptr(after(noon, time.Second)) }}},
			"terminate a"},
		{"no other one restarts while one is killed", v1.RestartPolicyAlways, begun, map[string][]change{
			"i": {exited(0)}, "j": {exited(0)}, "b": {exited(1)},
			"a": {at(stageRunning), func(c *container) { c.Kill = ptr(after(noon, time.Second)) }}},
			"terminate a"},
		{"not made", v1.RestartPolicyAlways, func(s *state) { s.notMade = &NotMade{} }, map[string][]change{
			"i": {exited(0)}, "j": {exited(0)}, "a": {at(stagePreparing)}, "b": {at(stagePrepared)}}, "cancel a, remove b"},
		{"closing", v1.RestartPolicyAlways, func(s *state) { s.closing = true }, nil, "done"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newState(newPod(tt.policy, "i", "j", "|", "a", "b"), noon)
			if tt.pod != nil {
				tt.pod(s)
			}
			wantPlan(t, s, tt.c, tt.want)
		})
	}
}

// wantPlan compares what is planned at noon after the changes, by container.
func wantPlan(t *testing.T, s *state, changes map[string][]change, want string) {
	t.Helper()
	for name, list := range changes {
		for _, change := range list {
			change(s.find(name))
		}
	}
	s.elapse(noon)
	if got := s.plan(noon).String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestFirstRound: nothing starts before everything is prepared, because until
// then a failure means that the pod is not made.
func TestFirstRound(t *testing.T) {
	s := newState(newPod(v1.RestartPolicyAlways, "a", "b"), noon)
	at(stagePrepared)(s.app[0])
	at(stagePreparing)(s.app[1])
	if got := s.plan(noon).String(); got != "" {
		t.Errorf("got %q", got)
	}
	at(stagePrepared)(s.app[1])
	if got := s.plan(noon).String(); got != "start a" {
		t.Errorf("got %q", got)
	}
}

func TestBackoff(t *testing.T) {
	var b Backoff
	now := noon
	for i, want := range []time.Duration{0, 10, 20, 40, 80, 160, 300, 300} {
		if got := b.wait(now); got != want*time.Second {
			t.Errorf("try %d waits %v, want %v", i, got, want*time.Second)
		}
		b = b.next(now, now.Add(b.wait(now)))
		now = b.Updated
	}
	if got := b.wait(now.Add(forgetBackoff)); got != maxBackoff {
		t.Errorf("after exactly ten minutes: got %v", got)
	}
	if got := b.wait(now.Add(forgetBackoff + 1)); got != 0 {
		t.Errorf("after more than ten minutes: got %v", got)
	}
}

func TestPhase(t *testing.T) {
	running, waiting := at(stageRunning), func(*container) {}
	for _, tt := range []struct {
		policy  v1.RestartPolicy
		i, a, b func(*container)
		want    v1.PodPhase
	}{
		{v1.RestartPolicyAlways, waiting, waiting, waiting, v1.PodPending},
		{v1.RestartPolicyAlways, running, waiting, waiting, v1.PodPending},
		{v1.RestartPolicyAlways, exited(1), waiting, waiting, v1.PodPending},
		{v1.RestartPolicyNever, exited(1), waiting, waiting, v1.PodFailed},
		{v1.RestartPolicyAlways, exited(0), running, waiting, v1.PodPending},
		{v1.RestartPolicyAlways, exited(0), running, running, v1.PodRunning},
		{v1.RestartPolicyAlways, exited(0), exited(0), exited(1), v1.PodRunning},
		{v1.RestartPolicyOnFailure, exited(0), exited(0), exited(1), v1.PodRunning},
		{v1.RestartPolicyOnFailure, exited(0), exited(0), exited(0), v1.PodSucceeded},
		{v1.RestartPolicyNever, exited(0), exited(0), running, v1.PodRunning},
		{v1.RestartPolicyNever, exited(0), exited(0), exited(1), v1.PodFailed},
		{v1.RestartPolicyNever, exited(0), exited(0), exited(0), v1.PodSucceeded},
	} {
		s := newState(newPod(tt.policy, "i", "|", "a", "b"), noon)
		tt.i(s.init[0])
		tt.a(s.app[0])
		tt.b(s.app[1])
		st := s.status(v1.PodStatus{}, noon)
		if st.Phase != tt.want {
			t.Errorf("%s, %s, %s, %s: got %s, want %s", tt.policy, describe(st.InitContainerStatuses[0].State),
				describe(st.ContainerStatuses[0].State), describe(st.ContainerStatuses[1].State), st.Phase, tt.want)
		}
	}
}

func TestConditions(t *testing.T) {
	s := newState(newPod(v1.RestartPolicyNever, "i", "j", "|", "b", "a"), noon)
	conditions := func(now time.Time, old []v1.PodCondition) (list []v1.PodCondition, words []string) {
		st := s.status(v1.PodStatus{Conditions: old}, now)
		for _, c := range st.Conditions {
			words = append(words, strings.TrimSpace(fmt.Sprintf("%s=%s %s %s", c.Type, c.Status, c.Reason, c.Message)))
		}
		return st.Conditions, words
	}
	first, got := conditions(noon, nil)
	want := []string{
		"PodReadyToStartContainers=True",
		"Initialized=False ContainersNotInitialized containers with incomplete status: [i j]",
		"Ready=False ContainersNotReady containers with unready status: [b a]",
		"ContainersReady=False ContainersNotReady containers with unready status: [b a]",
		"PodScheduled=True",
	}
	if !slices.Equal(got, want) {
		t.Errorf("at first:\n got %q\nwant %q", got, want)
	}
	exited(0)(s.init[0])
	second, got := conditions(noon.Add(time.Hour), first)
	if want := "Initialized=False ContainersNotInitialized containers with incomplete status: [j]"; got[1] != want {
		t.Errorf("got %q, want %q", got[1], want)
	}
	if second[1].LastTransitionTime != first[1].LastTransitionTime {
		t.Error("another message is no transition")
	}
	exited(0)(s.init[1])
	third, _ := conditions(noon.Add(time.Hour), second)
	if third[1].LastTransitionTime == second[1].LastTransitionTime {
		t.Error("another status is a transition")
	}
	exited(0)(s.app[0])
	exited(0)(s.app[1])
	s.ended = true
	_, got = conditions(noon, third)
	want = []string{"PodReadyToStartContainers=False", "Initialized=True PodCompleted", "Ready=False PodCompleted",
		"ContainersReady=False PodCompleted", "PodScheduled=True"}
	if !slices.Equal(got, want) {
		t.Errorf("at the end:\n got %q\nwant %q", got, want)
	}
}
