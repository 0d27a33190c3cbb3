package pod

import (
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

func onExit(action v1.ContainerRestartRuleAction, operator v1.ContainerRestartRuleOnExitCodesOperator, codes ...int32) []v1.ContainerRestartRule {
	return []v1.ContainerRestartRule{{Action: action, ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: operator, Values: codes}}}
}

func TestRestarts(t *testing.T) {
	const in, notIn = v1.ContainerRestartRuleOnExitCodesOpIn, v1.ContainerRestartRuleOnExitCodesOpNotIn
	for _, tt := range []struct {
		pod  v1.RestartPolicy
		own  v1.ContainerRestartPolicy
		rule []v1.ContainerRestartRule
		code int32
		want bool
	}{
		{v1.RestartPolicyAlways, "", nil, 0, true},
		{v1.RestartPolicyOnFailure, "", nil, 0, false},
		{v1.RestartPolicyOnFailure, "", nil, 1, true},
		{v1.RestartPolicyNever, "", nil, 1, false},
		{v1.RestartPolicyNever, "Always", nil, 0, true},
		{v1.RestartPolicyNever, "OnFailure", nil, 0, false},
		{v1.RestartPolicyNever, "OnFailure", nil, 1, true},
		{v1.RestartPolicyAlways, "Never", nil, 1, false},
		{v1.RestartPolicyAlways, "Never", onExit("Restart", in, 3, 42), 42, true},
		{v1.RestartPolicyAlways, "Never", onExit("Restart", in, 3, 42), 41, false},
		{v1.RestartPolicyAlways, "Never", onExit("Restart", notIn, 3, 42), 41, true},
		{v1.RestartPolicyAlways, "Never", onExit("Restart", notIn, 3, 42), 42, false},
		{v1.RestartPolicyAlways, "Never", onExit("RestartAllContainers", in, 42), 42, true},
		{v1.RestartPolicyNever, "OnFailure", onExit("Restart", in, 0), 0, true},
	} {
		c := v1.Container{RestartPolicyRules: tt.rule}
		if tt.own != "" {
			c.RestartPolicy = &tt.own
		}
		if got := Restarts(&v1.PodSpec{RestartPolicy: tt.pod}, &c, tt.code); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
}

// restartingPod has a container whose exit code 42 makes all begin anew.
func restartingPod() *v1.Pod {
	pod := sidecars(newPod(v1.RestartPolicyNever, "i", "s", "|", "a", "b"), "s")
	pod.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PreStop: &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"bye"}}}} // is not called
	b := &pod.Spec.Containers[1]
	b.RestartPolicy = ptr(v1.ContainerRestartPolicyNever)
	b.RestartPolicyRules = onExit("RestartAllContainers", v1.ContainerRestartRuleOnExitCodesOpIn, 42)
	return pod
}

func TestRestartAllContainers(t *testing.T) {
	for _, killed := range []bool{false, true} {
		bubble(t, restartingPod(), func(l *test) {
			l.deaf["a"] = true
			l.begin(nil)
			l.exit("i", Exit{})
			if c := l.condition(v1.AllContainersRestarting); c.Status != v1.ConditionFalse || c.Reason != "" {
				t.Errorf("at first: %+v", c)
			}
			l.took()
			l.exit("b", Exit{Code: 42})
			if log := l.took(); len(log) != 2 || !slices.Contains(log, "terminate a 0") || !slices.Contains(log, "remove b 0") {
				t.Errorf("at once: %q", log)
			}
			if c := l.condition(v1.AllContainersRestarting); c.Status != v1.ConditionTrue || c.Reason != "RestartAllContainersStarted" ||
				c.Message != "container exited with restart policy rule" {
				t.Errorf("meanwhile: %+v", c)
			}
			l.wantState("b", "terminated Error 42", 0)
			l.wantPhase(v1.PodRunning)
			if killed {
				l.sleep(time.Second)
				l.die("")
				l.wantLog("terminate a 0")
			}
			l.sleep(2*time.Second + restartPause)
			log := l.took()
			if want := []string{"kill a 0", "remove a 0", "terminate s 0", "remove s 0", "image i 0", "create i 1", "start i 1"}; !slices.Equal(log, want) {
				t.Errorf("got %q, want %q", log, want)
			}
			for _, name := range []string{"s", "a", "b"} {
				l.wantState(name, "waiting PodInitializing", 1)
				if got := describe(l.status(name).LastTerminationState); got != "terminated RestartingAllContainers 137" {
					t.Errorf("lastState of %s: got %s", name, got)
				}
			}
			l.wantState("i", "running", 1)
			if got := l.condition(v1.PodInitialized).Status; got != v1.ConditionTrue {
				t.Errorf("Initialized: got %s", got)
			}
			if got := l.condition(v1.AllContainersRestarting).Status; got != v1.ConditionFalse {
				t.Errorf("afterwards: got %s", got)
			}
			l.exit("i", Exit{})
			for _, name := range []string{"s", "a", "b"} {
				l.wantState(name, "running", 1)
			}
			l.wantPhase(v1.PodRunning)
			l.wantEvent("Normal Killing spec.containers{a} killing")

			// Again, without a back-off, until it is stopped in the middle.
			l.exit("b", Exit{Code: 42})
			l.life.Stop(nil)
			o, err := l.wait()
			if err != nil || o.Status.Phase != v1.PodFailed {
				t.Errorf("got %s, %v", o.Status.Phase, err)
			}
		})
	}
}

// TestRestartAllByInit: before the containers have run, a restart of all is one
// of the init containers only.
func TestRestartAllByInit(t *testing.T) {
	pod := sidecars(newPod(v1.RestartPolicyNever, "s", "i", "j", "|", "a"), "s")
	j := &pod.Spec.InitContainers[2]
	j.RestartPolicy = ptr(v1.ContainerRestartPolicyNever)
	j.RestartPolicyRules = onExit("RestartAllContainers", v1.ContainerRestartRuleOnExitCodesOpIn, 42)
	bubble(t, pod, func(l *test) {
		l.begin(nil)
		l.exit("i", Exit{})
		l.exit("j", Exit{Code: 42})
		l.wantPhase(v1.PodPending)
		l.sleep(restartPause)
		l.wantState("s", "running", 1)
		l.wantState("i", "running", 1)
		l.wantState("j", "waiting PodInitializing", 1)
		l.wantState("a", "waiting PodInitializing", 0)
		l.exit("i", Exit{})
		l.exit("j", Exit{})
		l.wantState("a", "running", 0)
		l.exit("a", Exit{})
		if o, err := l.wait(); err != nil || o.Status.Phase != v1.PodSucceeded {
			t.Errorf("got %s, %v", o.Status.Phase, err)
		}
	})
}
