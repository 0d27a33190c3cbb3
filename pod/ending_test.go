package pod

import (
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

func TestActiveDeadline(t *testing.T) {
	pod := newPod(v1.RestartPolicyAlways, "a")
	pod.Spec.ActiveDeadlineSeconds = ptr(int64(60))
	for _, killed := range []bool{false, true} {
		bubble(t, pod, func(l *test) {
			l.deaf["a"] = true
			l.begin(nil)
			l.sleep(40 * time.Second)
			if killed {
				l.die("")
			}
			l.sleep(20*time.Second - time.Millisecond)
			l.wantState("a", "running", 0)
			if got := l.condition(v1.PodReady).Status; got != v1.ConditionTrue {
				t.Errorf("before: Ready is %s", got)
			}
			l.sleep(time.Second)
			// It is Failed when the last container has ended, and not ready before.
			if st := l.life.Status(); st.Phase != v1.PodRunning || st.Reason != "" {
				t.Errorf("while it ends: %s %s", st.Phase, st.Reason)
			}
			if got := l.condition(v1.PodReady).Reason; got != "PodFailed" {
				t.Errorf("while it ends: Ready because of %s", got)
			}
			if killed {
				l.die("")
			}
			o, err := l.wait()
			st := o.Status
			if err != nil || o.Stopped || st.Phase != v1.PodFailed || st.Reason != "DeadlineExceeded" ||
				st.Message != "Pod was active on the node longer than the specified deadline" {
				t.Errorf("got %s %s %q, %v", st.Phase, st.Reason, st.Message, err)
			}
			l.wantState("a", "terminated Error 137", 0)
			l.wantEvent("Normal DeadlineExceeded  Pod was active on the node longer than the specified deadline")
		})
	}
}

// TestDeadlineLost: a deadline does not fail what has finished before.
func TestDeadlineLost(t *testing.T) {
	pod := sidecars(newPod(v1.RestartPolicyNever, "s", "|", "a"), "s")
	pod.Spec.ActiveDeadlineSeconds = ptr(int64(60))
	bubble(t, pod, func(l *test) {
		l.deaf["s"] = true
		l.begin(nil)
		l.sleep(50 * time.Second)
		l.exit("a", Exit{})
		if o, err := l.wait(); err != nil || o.Status.Phase != v1.PodSucceeded || o.Status.Reason != "" {
			t.Errorf("got %s %s, %v", o.Status.Phase, o.Status.Reason, err)
		}
	})
}

func TestEvict(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "a", "b"), func(l *test) {
		l.deaf["a"] = true
		l.begin(nil)
		l.life.Evict("Evicted", "too much", ptr(int64(0)))
		began := time.Now()
		o, err := l.wait()
		if st := o.Status; err != nil || st.Phase != v1.PodFailed || st.Reason != "Evicted" || st.Message != "too much" {
			t.Errorf("got %s %s %q, %v", st.Phase, st.Reason, st.Message, err)
		}
		if got := time.Since(began); got != minGracePeriod {
			t.Errorf("took %v", got)
		}
	})
}

// TestNewSandbox: in a sandbox made anew the init containers do their work
// again, and the containers go by their policies.
func TestNewSandbox(t *testing.T) {
	for _, tt := range []struct {
		policy v1.RestartPolicy
		want   []string // what is started, in order
		phase  v1.PodPhase
	}{
		{v1.RestartPolicyAlways, []string{"start i 1", "start s 1", "start a 1", "start b 1"}, v1.PodRunning},
		{v1.RestartPolicyOnFailure, []string{"start i 1", "start s 1", "start a 1"}, v1.PodRunning},
		{v1.RestartPolicyNever, nil, v1.PodFailed},
	} {
		t.Run(string(tt.policy), func(t *testing.T) {
			bubble(t, sidecars(newPod(tt.policy, "i", "s", "|", "a", "b"), "s"), func(l *test) {
				l.sandbox = "1"
				l.begin(nil)
				l.exit("i", Exit{})
				if tt.policy == v1.RestartPolicyOnFailure {
					l.exit("b", Exit{})
				}
				l.took()
				l.die("2")
				l.exit("i", Exit{})
				l.sleep(0)
				var started []string
				for _, entry := range l.took() {
					if entry[:5] == "start" {
						started = append(started, entry)
					}
				}
				if !slices.Equal(started, tt.want) {
					t.Errorf("got %q, want %q", started, tt.want)
				}
				l.wantPhase(tt.phase)
				if tt.phase == v1.PodFailed {
					if o, err := l.wait(); err != nil || o.Status.Phase != v1.PodFailed {
						t.Errorf("got %s, %v", o.Status.Phase, err)
					}
					return
				}
				l.wantState("i", "terminated Completed 0", 1)
				l.wantEvent("Normal SandboxChanged  Pod sandbox changed, it will be killed and re-created.")
			})
		})
	}
}

// TestFinishedInANewSandbox: what had nothing left to do does not begin again.
func TestFinishedInANewSandbox(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyOnFailure, "i", "|", "a"), func(l *test) {
		l.sandbox = "1"
		l.delay["remove a"] = time.Minute
		l.begin(nil)
		l.exit("i", Exit{})
		l.exit("a", Exit{})
		l.took()
		l.die("2")
		if o, err := l.wait(); err != nil || o.Status.Phase != v1.PodSucceeded {
			t.Errorf("got %s, %v", o.Status.Phase, err)
		}
		l.wantLog("remove a 0")
	})
}

func TestReadinessGates(t *testing.T) {
	pod := newPod(v1.RestartPolicyAlways, "a")
	pod.Generation = 3
	pod.Spec.ReadinessGates = []v1.PodReadinessGate{{ConditionType: "one"}}
	bubble(t, pod, func(l *test) {
		l.begin(nil)
		ready := l.condition(v1.PodReady)
		if ready.Status != v1.ConditionFalse || ready.Reason != "ReadinessGatesNotReady" ||
			ready.Message != `corresponding condition of pod readiness gate "one" does not exist.` || ready.ObservedGeneration != 3 {
			t.Errorf("at first: %+v", ready)
		}
		began := l.condition(v1.ContainersReady).LastTransitionTime
		l.sleep(time.Minute)
		l.life.SetCondition(v1.PodCondition{Type: "one", Status: v1.ConditionTrue, Reason: "Said"})
		l.sleep(time.Minute)
		one := l.life.Status().Conditions[0]
		if one.Type != "one" || one.Reason != "Said" || one.ObservedGeneration != 3 || one.LastTransitionTime.Sub(began.Time) != time.Minute {
			t.Errorf("the condition: %+v", one)
		}
		l.life.SetCondition(v1.PodCondition{Type: "one", Status: v1.ConditionTrue, Reason: "Again"})
		l.life.SetCondition(v1.PodCondition{Type: v1.PodReady, Status: v1.ConditionFalse}) // nobody else's to set
		l.sleep(0)
		l.die("")
		if got := l.condition("one"); got.LastTransitionTime != one.LastTransitionTime || got.Reason != "Again" {
			t.Errorf("the condition, set again: %+v", got)
		}
		if got := l.condition(v1.PodReady).Status; got != v1.ConditionTrue {
			t.Errorf("open: Ready is %s", got)
		}
		l.life.SetCondition(v1.PodCondition{Type: "one", Status: v1.ConditionUnknown})
		l.sleep(0)
		if got, want := l.condition(v1.PodReady).Message, `the status of pod readiness gate "one" is not "True", but Unknown`; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
