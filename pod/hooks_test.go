package pod

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"podrun/probe"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func execHook(argv ...string) *v1.LifecycleHandler {
	return &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: argv}}
}

func sleepHook(seconds int64) *v1.LifecycleHandler {
	return &v1.LifecycleHandler{Sleep: &v1.SleepAction{Seconds: seconds}}
}

// hookedPod has the containers web, with the hooks, and log.
func hookedPod(policy v1.RestartPolicy, postStart, preStop *v1.LifecycleHandler) *v1.Pod {
	pod := newPod(policy, "web", "log")
	pod.Spec.Containers[0].Ports = []v1.ContainerPort{{Name: "http", ContainerPort: 8080}}
	pod.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PostStart: postStart, PreStop: preStop}
	return pod
}

// slowly is a hook or probe that takes a while.
func slowly(d time.Duration, r probe.Result, detail string, err error) func() (probe.Result, string, error) {
	return func() (probe.Result, string, error) {
		time.Sleep(d)
		return r, detail, err
	}
}

// Until its postStart hook is over a container shows as not running, is not
// probed, and those after it wait.
func TestPostStartHoldsTheRest(t *testing.T) {
	pod := hookedPod(v1.RestartPolicyAlways, sleepHook(5), nil)
	pod.Spec.Containers[0].ReadinessProbe = httpProbe("/ready", func(*v1.Probe) {})
	bubble(t, pod, func(l *test) {
		l.begin(nil)
		l.sleep(4 * time.Second)
		if got := l.took(); got[len(got)-1] != "start web 0" {
			t.Errorf("got %q, want only web to be started", got)
		}
		l.wantState("web", "waiting ContainerCreating", 0)
		l.wantPhase(v1.PodPending)
		l.wantEvent("Normal Started spec.containers{web} Container started")
		l.sleep(time.Second)
		log := l.took() // the two are asked for at once
		if slices.Sort(log); !slices.Equal(log, []string{"probe " + target + "/ready", "start log 0"}) {
			t.Errorf("after the hook: got %q", log)
		}
		l.wantState("web", "running", 0)
		l.wantPhase(v1.PodRunning)
		l.wantReady(true)
	})
}

func TestPostStartFails(t *testing.T) {
	bubble(t, hookedPod(v1.RestartPolicyAlways, execHook("sh", "-c", "no"), execHook("bye")), func(l *test) {
		l.probes["web sh"] = result(probe.Failure, "a secret\n")
		l.begin(nil)
		l.wantEvent("Warning FailedPostStartHook spec.containers{web} PostStartHook failed")
		l.wantEvent("Normal Killing spec.containers{web} FailedPostStartHook")
		if i := slices.Index(l.log, "terminate web 0"); i < 1 || l.log[i-1] != "probe web bye" {
			t.Errorf("the preStop hook does not come before the end: %q", l.log)
		}
		l.wantState("web", "waiting PostStartHookError", 1) // the first restart is at once
		want := `Exec lifecycle hook ([sh -c no]) for Container "web" in Pod "web_default(uid)" failed - error: command 'sh -c no' exited with 1: a secret` +
			"\n, message: \"a secret\\n\""
		if got := l.status("web").State.Waiting.Message; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		l.wantState("log", "running", 0)
		l.sleep(freshFor)
		l.wantState("web", "waiting CrashLoopBackOff", 1)
		l.set(func() { delete(l.probes, "web sh") })
		l.sleep(firstBackoff)
		l.wantState("web", "running", 2)
	})
}

func TestPostStartFailsForGood(t *testing.T) {
	pod := hookedPod(v1.RestartPolicyNever, &v1.LifecycleHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.FromInt32(80)}}, nil)
	pod.Spec.Containers = pod.Spec.Containers[:1]
	bubble(t, pod, func(l *test) {
		l.begin(nil)
		o, err := l.wait()
		if err != nil || o.Status.Phase != v1.PodFailed {
			t.Errorf("got %s, %v", o.Status.Phase, err)
		}
		l.wantState("web", "terminated Error 143", 0)
		l.wantEvent("Warning FailedPostStartHook spec.containers{web} PostStartHook failed")
	})
}

// A stop gives the postStart hook up, and the preStop hook is still called.
func TestStopDuringPostStart(t *testing.T) {
	bubble(t, hookedPod(v1.RestartPolicyAlways, sleepHook(100), execHook("bye")), func(l *test) {
		l.begin(nil)
		l.life.Stop(nil)
		began := time.Now()
		if _, err := l.wait(); err != nil || time.Since(began) > 0 {
			t.Errorf("took %v, %v", time.Since(began), err)
		}
		if !slices.Contains(l.log, "probe web bye") || slices.Contains(l.log, "start log 0") {
			t.Errorf("got %q", l.log)
		}
	})
}

func TestPreStop(t *testing.T) {
	for _, tt := range []struct {
		name  string
		hook  *v1.LifecycleHandler
		took  time.Duration // of the hook
		err   error
		grace *int64
		deaf  bool
		term  time.Duration // until the container is asked to end
		end   time.Duration // until it has ended
		event string
	}{
		{"in time", execHook("bye"), 3 * time.Second, nil, nil, false, 3 * time.Second, 3 * time.Second, ""},
		{"what it takes is off the grace period", execHook("bye"), 10 * time.Second, nil, nil, true, 10 * time.Second, 30 * time.Second, ""},
		{"at least two seconds are left", execHook("bye"), 29 * time.Second, nil, nil, true, 29 * time.Second, 31 * time.Second, ""},
		{"no longer than the grace period", execHook("bye"), time.Hour, nil, ptr(int64(5)), true, 5 * time.Second, 7 * time.Second, ""},
		{"that fails", execHook("bye"), time.Second, errors.New("no"), nil, false, time.Second, time.Second, "Warning FailedPreStopHook spec.containers{web} PreStopHook failed"},
		{"sleep", sleepHook(7), 0, nil, nil, false, 7 * time.Second, 7 * time.Second, ""},
		{"sleep of nothing", sleepHook(0), 0, nil, nil, false, 0, 0, ""},
		{"not where there is no time", execHook("bye"), time.Second, nil, ptr(int64(0)), false, -1, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pod := hookedPod(v1.RestartPolicyAlways, nil, tt.hook)
			pod.Spec.Containers = pod.Spec.Containers[:1]
			bubble(t, pod, func(l *test) {
				var asked time.Duration = -1
				l.deaf["web"] = tt.deaf
				l.probes["web bye"] = slowly(tt.took, probe.Success, "", tt.err)
				l.begin(nil)
				began := time.Now()
				l.life.Stop(tt.grace)
				for range 4000 {
					l.sleep(10 * time.Millisecond)
					if asked < 0 && slices.Contains(l.log, "terminate web 0") {
						asked = time.Since(began).Truncate(time.Second)
					}
					if l.alive["web"] != 0 || len(l.alive) == 0 {
						break
					}
				}
				if got := time.Since(began).Truncate(time.Second); asked != tt.term || got != tt.end {
					t.Errorf("asked after %v and ended after %v, want %v and %v", asked, got, tt.term, tt.end)
				}
				if tt.event != "" {
					l.wantEvent(tt.event)
				}
				l.wait()
			})
		})
	}
}

// A container that ended by itself is not told to stop, one that failed its
// liveness probe is, each time anew.
func TestPreStopByCause(t *testing.T) {
	pod := hookedPod(v1.RestartPolicyAlways, nil, execHook("bye"))
	bubble(t, pod, func(l *test) {
		l.begin(nil)
		l.exit("web", Exit{Code: 1})
		l.sleep(time.Second)
		if slices.Contains(l.log, "probe web bye") {
			t.Error("the preStop hook of a container that ended by itself was called")
		}
	})
	pod = hookedPod(v1.RestartPolicyAlways, nil, execHook("bye"))
	pod.Spec.Containers[0].LivenessProbe = httpProbe("/live", func(p *v1.Probe) { p.FailureThreshold = 1 })
	bubble(t, pod, func(l *test) {
		l.probes[target+"/live"] = result(probe.Failure, "dead")
		l.begin(nil)
		l.sleep(time.Minute)
		hooks, ends := 0, 0
		for _, line := range l.log {
			if line == "probe web bye" {
				hooks++
			}
			if strings.HasPrefix(line, "terminate web") {
				ends++
			}
		}
		if hooks < 2 || hooks != ends {
			t.Errorf("%d hooks for %d ends", hooks, ends)
		}
	})
}

// A postStart hook whose monitor was killed is not called again, a preStop hook is.
func TestHooksAfterAKill(t *testing.T) {
	bubble(t, hookedPod(v1.RestartPolicyAlways, sleepHook(3600), sleepHook(20)), func(l *test) {
		l.begin(nil)
		l.wantState("web", "waiting ContainerCreating", 0)
		l.kill9()
		l.wantState("web", "running", 0)
		l.wantState("log", "running", 0)
		l.took()
		l.life.Stop(nil)
		l.sleep(10 * time.Second)
		l.kill9()
		l.sleep(19 * time.Second)
		l.wantLog("terminate log 0", "remove log 0")
		l.sleep(time.Second)
		l.wantLog("terminate web 0", "remove web 0")
		l.wait()
	})
}

func TestHTTPHooks(t *testing.T) {
	get := &v1.LifecycleHandler{HTTPGet: &v1.HTTPGetAction{Path: "/hi", Port: intstr.FromInt32(8080), Scheme: v1.URISchemeHTTPS}}
	bubble(t, hookedPod(v1.RestartPolicyAlways, get, nil), func(l *test) {
		l.probes["10.244.0.2:8080/hi"] = result(probe.Success, "")
		l.begin(nil)
		l.wantState("web", "running", 0)
	})
	bubble(t, hookedPod(v1.RestartPolicyAlways, get, nil), func(l *test) {
		l.probes["10.244.0.2:8080/hi"] = slowly(0, probe.Success, "", &probe.PlainAnswer{Host: "10.244.0.2:8080"})
		l.begin(nil)
		l.wantState("web", "running", 0)
		l.wantEvent("Warning LifecycleHTTPFallback  request to HTTPS lifecycle hook 10.244.0.2:8080 got HTTP response, retry with HTTP succeeded")
	})
	bubble(t, hookedPod(v1.RestartPolicyAlways, get, nil), func(l *test) {
		l.probes["10.244.0.2:8080/hi"] = slowly(0, probe.Success, "", errors.New("connection refused"))
		l.begin(nil)
		want := `HTTP lifecycle hook (/hi) for Container "web" in Pod "web_default(uid)" failed - error: connection refused`
		if w := l.status("web").State.Waiting; w == nil || w.Message != want {
			t.Errorf("got %+v, want %q", w, want)
		}
	})
}

// While a container is being ended its readiness is still asked about, its
// liveness is not.
func TestProbesDuringPreStop(t *testing.T) {
	pod := hookedPod(v1.RestartPolicyNever, nil, sleepHook(10))
	pod.Spec.Containers[0].LivenessProbe = httpProbe("/live", func(p *v1.Probe) { p.FailureThreshold, p.PeriodSeconds = 1, 1 })
	pod.Spec.Containers[0].ReadinessProbe = httpProbe("/ready", func(p *v1.Probe) { p.PeriodSeconds = 1 })
	count := func(log []string, path string) (n int) {
		for _, line := range log {
			if line == "probe "+target+path {
				n++
			}
		}
		return n
	}
	bubble(t, pod, func(l *test) {
		l.begin(nil)
		l.sleep(time.Second + 500*time.Millisecond)
		l.set(func() { l.probes[target+"/live"] = result(probe.Failure, "dead") })
		l.sleep(time.Second)
		l.took()
		l.sleep(5 * time.Second)
		log := l.took()
		if count(log, "/live") > 0 || count(log, "/ready") != 5 || slices.Contains(log, "terminate web 0") {
			t.Errorf("after a failed liveness probe: %q", log)
		}
		l.wantReady(true)
		l.sleep(10 * time.Second)
	})
	bubble(t, pod, func(l *test) {
		l.begin(nil)
		l.sleep(time.Second + 500*time.Millisecond)
		l.life.Stop(nil)
		l.sleep(0)
		l.took()
		l.sleep(5 * time.Second)
		if log := l.took(); count(log, "/live") > 0 || count(log, "/ready") != 5 {
			t.Errorf("of a pod that is stopped: %q", log)
		}
		l.wantReady(false)
		l.wait()
	})
}

// The preStop hooks of sidecars are called with those of the containers; only
// the end itself waits for its turn.
func TestPreStopOfSidecars(t *testing.T) {
	pod := newPod(v1.RestartPolicyNever, "web")
	for _, name := range []string{"one", "two"} {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, v1.Container{
			Name: name, Image: "busybox", RestartPolicy: new(v1.ContainerRestartPolicyAlways),
			Lifecycle: &v1.Lifecycle{PreStop: execHook("bye")},
		})
	}
	pod.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PreStop: execHook("bye")}
	bubble(t, pod, func(l *test) {
		for i, name := range []string{"one", "two", "web"} {
			l.probes[name+" bye"] = slowly(time.Duration(i+1)*time.Second, probe.Success, "", nil)
		}
		l.begin(nil)
		l.took()
		l.life.Stop(nil)
		l.sleep(0)
		if got := l.took(); len(got) != 3 {
			t.Errorf("at once: got %q, want three hooks", got)
		}
		l.sleep(2 * time.Second)
		l.wantLog()
		l.sleep(time.Second)
		log := l.took()
		asked := slices.DeleteFunc(slices.Clone(log), func(entry string) bool { return strings.HasPrefix(entry, "remove ") })
		if want := []string{"terminate web 0", "terminate two 0", "terminate one 0"}; !slices.Equal(asked, want) || len(log) != 6 {
			t.Errorf("got %q, want %q and each removed beside what follows", log, want)
		}
		l.wait()
	})
}
