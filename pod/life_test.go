package pod

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
)

func TestStartsInOrder(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "i1", "i2", "|", "a", "b"), func(l *test) {
		l.delay["create a"] = time.Second // prepared later than b, started before it
		l.begin(nil)
		l.wantLog("image i1 0", "create i1 0", "start i1 0")
		l.wantState("i1", "running", 0)
		l.wantState("i2", "waiting PodInitializing", 0)
		l.wantPhase(v1.PodPending)
		if got, want := l.condition(v1.PodInitialized).Message, "containers with incomplete status: [i1 i2]"; got != want {
			t.Errorf("Initialized: got %q, want %q", got, want)
		}
		l.exit("i1", Exit{})
		log := l.took()
		if slices.Sort(log); !slices.Equal(log, []string{"create i2 0", "image i2 0", "remove i1 0", "start i2 0"}) {
			t.Errorf("after i1: got %q", log)
		}
		l.exit("i2", Exit{})
		l.sleep(2 * time.Second)
		log = l.took()
		if got, want := log[len(log)-2:], []string{"start a 0", "start b 0"}; !slices.Equal(got, want) {
			t.Errorf("last requests: got %q, want %q", got, want)
		}
		l.wantState("i2", "terminated Completed 0", 0)
		l.wantState("a", "running", 0)
		l.wantState("b", "running", 0)
		l.wantPhase(v1.PodRunning)
		for _, c := range l.life.Status().Conditions {
			if c.Status != v1.ConditionTrue {
				t.Errorf("condition %s: got %s, want True", c.Type, c.Status)
			}
		}
	})
}

func TestCrashLoop(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
		l.begin(nil)
		l.took()
		l.exit("web", Exit{Code: 1})
		l.wantLog("remove web 0", "image web 0", "create web 1", "start web 1") // the first restart does not wait
		l.wantState("web", "running", 1)
		restarts := int32(1)
		for _, want := range []string{"10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"} {
			l.exit("web", Exit{Code: 1})
			l.wantState("web", "waiting CrashLoopBackOff", restarts)
			cs := l.status("web")
			if got, want := cs.State.Waiting.Message, "back-off "+want+" restarting failed container=web pod=web_default(uid)"; got != want {
				t.Errorf("message: got %q, want %q", got, want)
			}
			if got := describe(cs.LastTerminationState); got != "terminated Error 1" {
				t.Errorf("lastState: got %s", got)
			}
			l.wantPhase(v1.PodRunning)
			d, _ := time.ParseDuration(want)
			l.sleep(d - time.Second)
			l.wantState("web", "waiting CrashLoopBackOff", restarts)
			l.sleep(time.Second)
			restarts++
			l.wantState("web", "running", restarts)
		}
		// Ten minutes of running make up for all of it.
		l.sleep(10*time.Minute + time.Second)
		l.exit("web", Exit{Code: 1})
		l.wantState("web", "running", restarts+1)
		l.exit("web", Exit{Code: 1})
		if got, want := l.status("web").State.Waiting.Message[:12], "back-off 10s"; got != want {
			t.Errorf("after the reset: got %q, want %q", got, want)
		}
		l.wantEvent("Warning BackOff spec.containers{web} Back-off restarting failed container web in pod web_default(uid)")
	})
}

func TestRestartPolicies(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy v1.RestartPolicy
		code   int
		state  string
		phase  v1.PodPhase
		reason string // of the condition Ready
	}{
		{"never, well", v1.RestartPolicyNever, 0, "terminated Completed 0", v1.PodSucceeded, "PodCompleted"},
		{"never, badly", v1.RestartPolicyNever, 3, "terminated Error 3", v1.PodFailed, "PodFailed"},
		{"on failure, well", v1.RestartPolicyOnFailure, 0, "terminated Completed 0", v1.PodSucceeded, "PodCompleted"},
		{"on failure, badly", v1.RestartPolicyOnFailure, 3, "running", v1.PodRunning, ""},
		{"always, well", v1.RestartPolicyAlways, 0, "running", v1.PodRunning, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, newPod(tt.policy, "web"), func(l *test) {
				l.begin(nil)
				l.exit("web", Exit{Code: tt.code})
				restarts := int32(0)
				if tt.state == "running" {
					restarts = 1
				}
				l.wantState("web", tt.state, restarts)
				l.wantPhase(tt.phase)
				if got := l.condition(v1.PodReady).Reason; got != tt.reason {
					t.Errorf("Ready: got reason %q, want %q", got, tt.reason)
				}
				if tt.phase == v1.PodRunning {
					return
				}
				if o, err := l.wait(); err != nil || o.Stopped || o.Status.Phase != tt.phase {
					t.Errorf("Run: got %v, %v", o, err)
				}
				if len(l.exists) > 0 {
					t.Errorf("left: %v", l.exists)
				}
			})
		})
	}
}

func TestInitFailure(t *testing.T) {
	t.Run("never", func(t *testing.T) {
		bubble(t, newPod(v1.RestartPolicyNever, "i1", "|", "a"), func(l *test) {
			l.begin(nil)
			l.exit("i1", Exit{Code: 1})
			o, err := l.wait()
			if err != nil || o.Status.Phase != v1.PodFailed {
				t.Errorf("got %v, %v, want Failed", o.Status.Phase, err)
			}
			l.wantState("a", "waiting PodInitializing", 0)
		})
	})
	t.Run("always", func(t *testing.T) {
		bubble(t, newPod(v1.RestartPolicyAlways, "i1", "|", "a"), func(l *test) {
			l.begin(nil)
			l.exit("i1", Exit{Code: 1})
			l.exit("i1", Exit{Code: 1})
			l.wantState("i1", "waiting CrashLoopBackOff", 1)
			l.wantPhase(v1.PodPending)
			l.sleep(10 * time.Second)
			l.exit("i1", Exit{})
			l.wantState("i1", "terminated Completed 0", 2)
			l.wantState("a", "running", 0)
		})
	})
}

func TestExitWords(t *testing.T) {
	for _, tt := range []struct {
		exit Exit
		want string
	}{
		{Exit{}, "terminated Completed 0"},
		{Exit{Code: 2}, "terminated Error 2"},
		{Exit{Signal: 15}, "terminated Error 143"},
		{Exit{Signal: 9, OOMKilled: true}, "terminated OOMKilled 137"},
		{Exit{Code: 137, Reason: "ContainerStatusUnknown"}, "terminated ContainerStatusUnknown 137"},
	} {
		bubble(t, newPod(v1.RestartPolicyNever, "web"), func(l *test) {
			l.begin(nil)
			l.exit("web", tt.exit)
			l.wantState("web", tt.want, 0)
		})
	}
}

func TestNotMade(t *testing.T) {
	for _, tt := range []struct {
		fail   string
		err    error
		step   string
		reason string
	}{
		{"image b", errBroken, "pull image of", "ErrImagePull"},
		{"image b", &Failure{Reason: "InvalidImageName", Err: errBroken}, "pull image of", "InvalidImageName"},
		{"create b", errBroken, "create", "CreateContainerError"},
		{"create b", &Failure{Reason: "CreateContainerConfigError", Err: errBroken}, "create", "CreateContainerConfigError"},
		{"start a", errBroken, "start", "StartError"},
	} {
		t.Run(tt.fail+" "+tt.reason, func(t *testing.T) {
			bubble(t, newPod(v1.RestartPolicyAlways, "a", "b", "c"), func(l *test) {
				l.fail[tt.fail] = tt.err
				l.delay["create c"] = time.Hour // given up, not waited for
				if tt.step == "start" {
					delete(l.delay, "create c")
				}
				began := time.Now()
				l.begin(nil)
				_, err := l.wait()
				n, ok := errors.AsType[*NotMade](err)
				if !ok || n.Step != tt.step || n.Reason != tt.reason || !errors.Is(err, errBroken) {
					t.Errorf("got %#v", err)
				}
				text := "broken"
				if tt.reason == "CreateContainerConfigError" {
					text = "CreateContainerConfigError: broken"
				}
				if got, want := err.Error(), tt.step+" container "+tt.fail[len(tt.fail)-1:]+": "+text; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				if len(l.exists) > 0 || time.Since(began) > time.Second {
					t.Errorf("left: %v after %v", l.exists, time.Since(began))
				}
			})
		})
	}
}

func TestFailuresOfARunningPod(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "i", "|", "a", "b", "c", "d"), func(l *test) {
		l.always["image a"] = errBroken
		l.always["create b"] = errBroken
		l.always["start c"] = errBroken
		l.begin(nil)
		l.exit("i", Exit{})
		l.wantState("a", "waiting ErrImagePull", 0)
		l.wantState("b", "waiting CreateContainerError", 0)
		l.wantState("c", "waiting RunContainerError", 1) // the first retry is immediate
		l.wantState("d", "running", 0)
		l.wantPhase(v1.PodPending)
		l.sleep(time.Second)
		l.wantState("a", "waiting ImagePullBackOff", 0)
		if got, want := l.status("a").State.Waiting.Message, `Back-off pulling image "busybox": ErrImagePull: broken`; got != want {
			t.Errorf("message: got %q, want %q", got, want)
		}
		l.wantState("c", "waiting CrashLoopBackOff", 1)
		if got := describe(l.status("c").LastTerminationState); got != "terminated StartError 128" {
			t.Errorf("lastState of c: got %s", got)
		}
		l.set(func() { clear(l.always) })
		l.sleep(9 * time.Second)
		for _, name := range []string{"a", "b"} {
			l.wantState(name, "running", 0)
		}
		l.wantState("c", "running", 2)
		l.wantEvent(`Warning Failed spec.containers{a} Failed to pull image "busybox": broken`)
		l.wantEvent(`Normal BackOff spec.containers{a} Back-off pulling image "busybox"`)
	})
}

func TestStartErrorWithoutRestart(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyNever, "a", "b"), func(l *test) {
		l.fail["start b"] = &Failure{Message: `exec: "nope": not found`}
		l.begin(nil)
		l.wantState("b", "terminated StartError 128", 0)
		l.wantPhase(v1.PodRunning)
		l.exit("a", Exit{})
		if o, err := l.wait(); err != nil || o.Status.Phase != v1.PodFailed {
			t.Errorf("got %v, %v, want Failed", o.Status.Phase, err)
		}
	})
}

func TestExitBeforeStartAnswers(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyNever, "web"), func(l *test) {
		l.ends["web"] = Exit{Code: 7}
		l.begin(nil)
		l.wantState("web", "waiting ContainerCreating", 0)
		l.sleep(time.Second)
		l.wantState("web", "terminated Error 7", 0)
	})
}

func TestExitToldTwice(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
		l.begin(nil)
		l.exit("web", Exit{Code: 1})
		l.life.Exited("web", 0, Exit{Code: 1})
		synctest.Wait()
		l.wantState("web", "running", 1)
	})
}

func TestExitIsSavedBeforeItIsActedOn(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
		l.begin(nil)
		n := l.saveCount()
		l.exit("web", Exit{Code: 1})
		p := l.save(n)
		if r := p.Containers[0]; r.Stage != stageExited || r.Removed || r.Last == nil || !p.Durable {
			t.Errorf("first checkpoint after the exit: %+v, durable %v", r, p.Durable)
		}
	})
}

func TestIdle(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
		l.begin(nil)
		n := l.saveCount()
		if n > 3 { // what is begun, what is released, what runs
			t.Errorf("saved %d times on the way up", n)
		}
		if p := l.life.state.plan(time.Now()); len(p.actions) > 0 || !p.wake.IsZero() {
			t.Errorf("a pod without probes: plans %v, wakes at %v", p.actions, p.wake)
		}
		l.sleep(24 * time.Hour)
		if got := l.saveCount(); got != n {
			t.Errorf("saved %d times while idle", got-n)
		}
	})
}
