package cli

import (
	"reflect"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// The states that a container can be in.
var (
	creating  = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "ContainerCreating"}}
	pending   = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "PodInitializing"}}
	crashLoop = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 10s"}}
	running   = v1.ContainerState{Running: &v1.ContainerStateRunning{}}
	completed = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: "Completed"}}
	crashed   = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: "Error", ExitCode: 3, Message: "no config\n"}}
)

func aContainer(name string, s v1.ContainerState) v1.ContainerStatus {
	return v1.ContainerStatus{Name: name, State: s}
}

func ready(name string) v1.ContainerStatus {
	return v1.ContainerStatus{Name: name, State: running, Ready: true}
}

func podOf(policy v1.RestartPolicy, containers ...string) *v1.Pod {
	p := &v1.Pod{Spec: v1.PodSpec{RestartPolicy: policy}}
	for _, name := range containers {
		p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: name})
	}
	return p
}

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		name   string
		policy v1.RestartPolicy
		phase  v1.PodPhase
		init   []v1.ContainerStatus
		main   []v1.ContainerStatus
		want   verdict
	}{
		{name: "nothing known yet", want: waiting},
		{name: "one of two known", main: []v1.ContainerStatus{ready("a")}, want: waiting},
		{name: "created", main: []v1.ContainerStatus{aContainer("a", creating), ready("b")}, want: waiting},
		{name: "not ready", main: []v1.ContainerStatus{aContainer("a", running), ready("b")}, want: waiting},
		{name: "ready", main: []v1.ContainerStatus{ready("a"), ready("b")}, want: arrived},
		{name: "its init container runs", init: []v1.ContainerStatus{aContainer("i", running)}, main: []v1.ContainerStatus{aContainer("a", pending), aContainer("b", pending)}, want: waiting},
		{name: "its init container is held back", init: []v1.ContainerStatus{aContainer("i", crashLoop)}, want: failed},
		{name: "held back", main: []v1.ContainerStatus{ready("a"), aContainer("b", crashLoop)}, want: failed},
		{name: "failed once", main: []v1.ContainerStatus{ready("a"), aContainer("b", crashed)}, want: waiting},
		{name: "failed once, OnFailure", policy: v1.RestartPolicyOnFailure, main: []v1.ContainerStatus{ready("a"), aContainer("b", crashed)}, want: waiting},
		{name: "failed, Never", policy: v1.RestartPolicyNever, main: []v1.ContainerStatus{ready("a"), aContainer("b", crashed)}, want: failed},
		{name: "ended well, Always", main: []v1.ContainerStatus{ready("a"), aContainer("b", completed)}, want: waiting},
		{name: "ended well, OnFailure", policy: v1.RestartPolicyOnFailure, main: []v1.ContainerStatus{ready("a"), aContainer("b", completed)}, want: arrived},
		{name: "ended well, Never", policy: v1.RestartPolicyNever, main: []v1.ContainerStatus{ready("a"), aContainer("b", completed)}, want: arrived},
		{name: "succeeded", phase: v1.PodSucceeded, want: finished},
		{name: "failed for good", phase: v1.PodFailed, want: failed},
	} {
		policy := test.policy
		if policy == "" {
			policy = v1.RestartPolicyAlways
		}
		s := &v1.PodStatus{Phase: test.phase, InitContainerStatuses: test.init, ContainerStatuses: test.main}
		if got := judge(podOf(policy, "a", "b"), s); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

func TestExpects(t *testing.T) {
	no := false
	for _, test := range []struct {
		policy v1.RestartPolicy
		status v1.PodStatus
		want   string
	}{
		{want: "containers"},
		{status: v1.PodStatus{InitContainerStatuses: []v1.ContainerStatus{aContainer("i", completed), aContainer("j", running)}}, want: "init container j: Running"},
		{status: v1.PodStatus{InitContainerStatuses: []v1.ContainerStatus{aContainer("i", crashed)}}, want: "init container i: Error, exit code 3"},
		{status: v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{ready("a"), aContainer("b", creating)}}, want: "b: ContainerCreating"},
		{status: v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{aContainer("a", running), aContainer("b", v1.ContainerState{})}}, want: "a: its readiness probe, b: Waiting"},
		{status: v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{{Name: "a", State: running, Started: &no}}}, want: "a: its startup probe"},
		{status: v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{ready("a"), aContainer("b", running)}}, want: "b: its end, to start again"},
		{status: v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{aContainer("a", completed), aContainer("b", creating)}}, policy: v1.RestartPolicyNever, want: "b: ContainerCreating"},
		{status: v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{aContainer("a", completed)}}, policy: v1.RestartPolicyAlways, want: "a: Completed"},
	} {
		p := podOf(test.policy, "a", "b")
		p.Spec.Containers[0].ReadinessProbe = &v1.Probe{}
		if got := expects(p, &test.status); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestFailures(t *testing.T) {
	ended := func(reason string, code int32) v1.ContainerState {
		return v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: reason, ExitCode: code}}
	}
	waits := func(reason, message string) v1.ContainerState {
		return v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: reason, Message: message}}
	}
	for _, test := range []struct {
		name   string
		status v1.ContainerStatus
		want   []failure
	}{
		{"it runs", v1.ContainerStatus{State: running}, nil},
		{"it runs again", v1.ContainerStatus{State: running, RestartCount: 1, LastTerminationState: crashed}, nil},
		{"it ended well", v1.ContainerStatus{State: completed}, nil},
		{"it is being created", v1.ContainerStatus{State: creating}, nil},
		{"it failed", v1.ContainerStatus{State: crashed}, []failure{{text: "Error, exit code 3: no config", attempt: 0}}},
		{"it failed again", v1.ContainerStatus{State: crashed, RestartCount: 2}, []failure{{text: "Error, exit code 3: no config", attempt: 2}}},
		{"it is held back", v1.ContainerStatus{State: crashLoop, RestartCount: 2, LastTerminationState: crashed}, []failure{{text: "CrashLoopBackOff: back-off 10s (Error, exit code 3: no config)", attempt: 2}}},
		{"its image is missing", v1.ContainerStatus{State: waits("ErrImagePull", "no such image")}, []failure{{text: "ErrImagePull: no such image", attempt: -1}}},
		{"its command is missing", v1.ContainerStatus{State: ended("StartError", 128)}, []failure{{text: "StartError, exit code 128", attempt: -1}}},
	} {
		got := failures(&v1.PodStatus{InitContainerStatuses: []v1.ContainerStatus{ready("i")}, ContainerStatuses: []v1.ContainerStatus{test.status}})
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
