package cli

import (
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// sidecarPod has a sidecar s, an init container i and containers a and b, of
// which b goes by a policy of its own.
func sidecarPod() *v1.Pod {
	p := podOf(v1.RestartPolicyAlways, "a", "b")
	p.Spec.InitContainers = []v1.Container{{Name: "s", RestartPolicy: new(v1.ContainerRestartPolicyAlways)}, {Name: "i"}}
	p.Spec.Containers[1].RestartPolicy = new(v1.ContainerRestartPolicyNever)
	return p
}

func TestJudgeSidecars(t *testing.T) {
	started := aContainer("s", running)
	started.Started = new(true)
	up := ready("s")
	up.Started = new(true)
	both := []v1.ContainerStatus{ready("a"), ready("b")}
	for _, test := range []struct {
		name string
		s, i v1.ContainerStatus
		main []v1.ContainerStatus
		want verdict
		says string
	}{
		{"the sidecar starts", aContainer("s", running), aContainer("i", pending), nil, waiting, "sidecar s: its startup probe"},
		{"the sidecar has started", started, aContainer("i", running), nil, waiting, "init container i: Running"},
		{"the sidecar is not ready", started, aContainer("i", completed), both, waiting, "sidecar s: its readiness probe"},
		{"all are ready", up, aContainer("i", completed), both, arrived, "containers"},
		{"the sidecar ended well, for now", aContainer("s", completed), aContainer("i", completed), both, waiting, "init container s: Completed"},
		{"the sidecar is held back", aContainer("s", crashLoop), aContainer("i", completed), both, failed, "init container s: CrashLoopBackOff"},
		{"a policy of its own, well", up, aContainer("i", completed), []v1.ContainerStatus{ready("a"), aContainer("b", completed)}, arrived, "containers"},
		{"a policy of its own, badly", up, aContainer("i", completed), []v1.ContainerStatus{ready("a"), aContainer("b", crashed)}, failed, "b: Error, exit code 3"},
		{"the pod's policy", up, aContainer("i", completed), []v1.ContainerStatus{aContainer("a", crashed), ready("b")}, waiting, "a: Error, exit code 3"},
	} {
		s := &v1.PodStatus{Phase: v1.PodRunning, InitContainerStatuses: []v1.ContainerStatus{test.s, test.i}, ContainerStatuses: test.main}
		if got := judge(sidecarPod(), s); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
		if got := expects(sidecarPod(), s); got != test.says {
			t.Errorf("%s: got %q, want %q", test.name, got, test.says)
		}
	}
}

// TestJudgeRestartOfAll: what has ended begins anew, and has not failed.
func TestJudgeRestartOfAll(t *testing.T) {
	s := &v1.PodStatus{Phase: v1.PodRunning, ContainerStatuses: []v1.ContainerStatus{ready("a"), aContainer("b", crashed)},
		Conditions: []v1.PodCondition{{Type: v1.AllContainersRestarting, Status: v1.ConditionTrue}}}
	if got := judge(sidecarPod(), s); got != waiting {
		t.Errorf("got %v", got)
	}
}

func TestEndedForGood(t *testing.T) {
	for _, test := range []struct {
		name string
		s    v1.ContainerState
		want bool
	}{
		{"s", completed, false}, // a sidecar is always started again
		{"s", crashed, false},
		{"i", completed, true},
		{"i", crashed, false},
		{"a", completed, false},
		{"b", crashed, true},
		{"b", running, false},
	} {
		c := aContainer(test.name, test.s)
		if got := endedForGood(sidecarPod(), &c); got != test.want {
			t.Errorf("%s, %s: got %v", test.name, describeState(&c), got)
		}
	}
}

func TestShutGates(t *testing.T) {
	p := sidecarPod()
	p.Spec.ReadinessGates = []v1.PodReadinessGate{{ConditionType: "open"}, {ConditionType: "shut"}, {ConditionType: "unknown"}}
	s := &v1.PodStatus{Conditions: []v1.PodCondition{{Type: "open", Status: v1.ConditionTrue}, {Type: "shut", Status: v1.ConditionFalse}}}
	if got, want := shutGates(p, s), []string{"shut", "unknown"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestSidecarCells: a sidecar counts among the containers.
func TestSidecarCells(t *testing.T) {
	up := ready("s")
	up.Started, up.RestartCount = new(true), 2
	p := sidecarPod()
	p.CreationTimestamp = ago(0)
	p.Status = v1.PodStatus{Phase: v1.PodRunning, InitContainerStatuses: []v1.ContainerStatus{up, {Name: "i", State: completed, RestartCount: 5}},
		ContainerStatuses: []v1.ContainerStatus{ready("a"), aContainer("b", completed)}}
	// The restarts of an init container that has done its work do not count.
	if got := podCells(p, noon)[1:4]; !slices.Equal(got, []string{"2/3", "NotReady", "2"}) {
		t.Errorf("one has completed: got %q", got)
	}
	p.Status.InitContainerStatuses[0] = aContainer("s", crashLoop)
	if got := podCells(p, noon)[1:4]; !slices.Equal(got, []string{"0/3", "Init:CrashLoopBackOff", "0"}) {
		t.Errorf("the sidecar has not started: got %q", got)
	}
}
