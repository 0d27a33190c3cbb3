package pod

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"podrun/probe"

	v1 "k8s.io/api/core/v1"
)

func ptr[T any](v T) *T { return &v }

func TestStop(t *testing.T) {
	for _, tt := range []struct {
		name  string
		grace *int64
		deaf  bool // the container ignores SIGTERM
		ends  Exit // when it does not
		took  time.Duration
		state string
		phase v1.PodPhase
	}{
		{"ends well", nil, false, Exit{}, 0, "terminated Completed 0", v1.PodSucceeded},
		{"ends by the signal", nil, false, Exit{Signal: 15}, 0, "terminated Error 143", v1.PodFailed},
		{"is killed after the pod's grace", nil, true, Exit{}, 30 * time.Second, "terminated Error 137", v1.PodFailed},
		{"is killed after the given grace", ptr(int64(5)), true, Exit{}, 5 * time.Second, "terminated Error 137", v1.PodFailed},
		{"is killed at once", ptr(int64(0)), false, Exit{}, 0, "terminated Error 137", v1.PodFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, newPod(v1.RestartPolicyAlways, "web", "log"), func(l *test) {
				for _, name := range []string{"web", "log"} {
					l.deaf[name], l.onTerm[name] = tt.deaf, tt.ends
				}
				l.begin(nil)
				began := time.Now()
				l.life.Stop(tt.grace)
				o, err := l.wait()
				if err != nil || !o.Stopped || o.Status.Phase != tt.phase {
					t.Errorf("got %+v, %v, want %s", o.Status.Phase, err, tt.phase)
				}
				if got := time.Since(began); got != tt.took {
					t.Errorf("took %v, want %v", got, tt.took)
				}
				l.wantState("web", tt.state, 0)
				l.wantState("log", tt.state, 0)
				l.wantEvent("Normal Killing spec.containers{web} Stopping container web")
				if len(l.exists) > 0 {
					t.Errorf("left: %v", l.exists)
				}
			})
		})
	}
}

// TestGraceOfNothing: 0 in the spec is a kill at once where the pod is taken
// down, as the API says; a container that fails its probe is asked first.
func TestGraceOfNothing(t *testing.T) {
	pod := newPod(v1.RestartPolicyAlways, "web")
	pod.Spec.TerminationGracePeriodSeconds = ptr(int64(0))
	pod.Spec.Containers[0].LivenessProbe = execProbe("alive")
	bubble(t, pod, func(l *test) {
		l.deaf["web"] = true
		l.begin(nil)
		l.set(func() { l.probes["web alive"] = result(probe.Failure, "dead") })
		l.sleep(3*time.Second + minGracePeriod - time.Millisecond)
		l.wantState("web", "running", 0)
		l.sleep(time.Second)
		l.wantState("web", "running", 1)
		began := time.Now()
		l.life.Stop(nil)
		if _, err := l.wait(); err != nil || time.Since(began) > 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestStopWhileItEnds(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
		l.deaf["web"] = true
		l.begin(nil)
		l.took()
		l.life.Stop(nil)
		l.sleep(10 * time.Second)
		l.wantLog("terminate web 0")
		l.wantState("web", "running", 0)
		l.wantPhase(v1.PodRunning)
		if got := l.condition(v1.ContainersReady); got.Status != v1.ConditionFalse || got.Reason != "ContainersNotReady" {
			t.Errorf("ContainersReady while ending: got %s %s", got.Status, got.Reason)
		}
		if got := l.lastSave().Stop.Deadline.Length; got != 30*time.Second {
			t.Errorf("saved grace period: got %v", got)
		}
		l.life.Stop(ptr(int64(60))) // later than what is left: changes nothing
		l.life.Stop(ptr(int64(3)))
		l.sleep(3 * time.Second)
		l.wantLog("kill web 0", "remove web 0")
		if _, err := l.wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestStopEarly stops a pod at every stage before its container runs.
func TestStopEarly(t *testing.T) {
	for _, slow := range []string{"image web", "create web", "start web"} {
		t.Run(slow, func(t *testing.T) {
			bubble(t, newPod(v1.RestartPolicyAlways, "web", "log"), func(l *test) {
				l.delay[slow] = time.Hour
				l.begin(nil)
				began := time.Now()
				l.life.Stop(nil)
				o, err := l.wait()
				if err != nil || o.Status.Phase != v1.PodFailed || time.Since(began) > 0 {
					t.Errorf("got %s, %v after %v", o.Status.Phase, err, time.Since(began))
				}
				l.wantState("web", "terminated ContainerStatusUnknown 137", 0)
				if len(l.exists)+len(l.running) > 0 {
					t.Errorf("left: %v %v", l.exists, l.running)
				}
			})
		})
	}
	t.Run("before Run", func(t *testing.T) {
		bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
			l.life = New(Config{Pod: l.pod, Runtime: l.machine, Prober: l.machine, Save: func(Checkpoint) {}})
			l.life.Stop(nil)
			if o, err := l.life.Run(context.Background()); err != nil || !o.Stopped {
				t.Errorf("got %v, %v", o, err)
			}
			l.wantLog()
		})
	})
	t.Run("during an init container", func(t *testing.T) {
		bubble(t, newPod(v1.RestartPolicyAlways, "i", "|", "web"), func(l *test) {
			l.begin(nil)
			l.life.Stop(nil)
			if o, err := l.wait(); err != nil || o.Status.Phase != v1.PodFailed {
				t.Errorf("got %s, %v", o.Status.Phase, err)
			}
			l.wantState("i", "terminated Error 143", 0)
			l.wantState("web", "waiting PodInitializing", 0)
		})
	})
}

func TestStopInBackoff(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
		l.begin(nil)
		l.exit("web", Exit{Code: 1})
		l.exit("web", Exit{Code: 2})
		l.wantState("web", "waiting CrashLoopBackOff", 1)
		began := time.Now()
		l.life.Stop(nil)
		if o, err := l.wait(); err != nil || o.Status.Phase != v1.PodFailed || time.Since(began) > 0 {
			t.Errorf("got %s, %v after %v", o.Status.Phase, err, time.Since(began))
		}
		l.wantState("web", "terminated Error 2", 1)
	})
}

func TestKillIsRepeated(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
		l.begin(nil)
		l.took()
		l.fail["kill web"] = errBroken
		l.life.Stop(ptr(int64(0)))
		if _, err := l.wait(); err != nil {
			t.Error(err)
		}
		l.wantLog("kill web 0", "kill web 0", "remove web 0")
		l.wantEvent("Warning FailedKillPod spec.containers{web} error killing container web: broken")
	})
}

func TestRemovalFails(t *testing.T) {
	t.Run("for a while", func(t *testing.T) {
		bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
			l.begin(nil)
			l.fail["remove web"] = errBroken
			l.exit("web", Exit{Code: 1})
			l.sleep(time.Second)
			l.wantState("web", "running", 1)
		})
	})
	t.Run("for good", func(t *testing.T) {
		bubble(t, newPod(v1.RestartPolicyNever, "web"), func(l *test) {
			l.begin(nil)
			l.always["remove web"] = errBroken
			l.exit("web", Exit{})
			o, err := l.wait()
			if err == nil || o.Status.Phase != v1.PodSucceeded {
				t.Errorf("got %s, %v", o.Status.Phase, err)
			}
		})
	})
	t.Run("between attempts", func(t *testing.T) {
		bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
			l.begin(nil)
			l.always["remove web"] = errBroken
			l.exit("web", Exit{Code: 1})
			l.sleep(time.Second)
			// No new attempt beside what is left of the old one.
			l.wantState("web", "waiting CreateContainerError", 0)
			l.set(func() { clear(l.always) })
			l.sleep(retryPeriod)
			l.wantState("web", "running", 1)
		})
	})
}

// TestCancel leaves the containers alone, and nothing else behind.
func TestCancel(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web", "log"), func(l *test) {
		l.pod.Spec.Containers[0].LivenessProbe = &v1.Probe{ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"true"}}}}
		l.begin(nil)
		l.took()
		l.cancel()
		if _, err := l.wait(); err != context.Canceled {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		l.wantLog()
		if len(l.running) != 2 {
			t.Errorf("running: %v", l.running)
		}
	})
}
