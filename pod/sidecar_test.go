package pod

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"podrun/probe"

	v1 "k8s.io/api/core/v1"
)

// sidecars makes init containers of the pod sidecars.
func sidecars(pod *v1.Pod, names ...string) *v1.Pod {
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; slices.Contains(names, c.Name) {
			c.RestartPolicy = ptr(v1.ContainerRestartPolicyAlways)
		}
	}
	return pod
}

func execProbe(word string) *v1.Probe {
	return &v1.Probe{ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{word}}}, PeriodSeconds: 1, FailureThreshold: 3}
}

func TestPlanSidecars(t *testing.T) {
	running, begun := at(stageRunning), func(c *container) { at(stageRunning)(c); c.Started = false }
	for _, tt := range []struct {
		name   string
		policy v1.RestartPolicy
		c      map[string][]change // of a pod of i, s, j, t (init), a, b, where s and t are sidecars
		want   string
	}{
		{"a sidecar comes in its turn", v1.RestartPolicyAlways, map[string][]change{"i": {exited(0)}}, "prepare s"},
		{"one that has not started holds the next", v1.RestartPolicyAlways, map[string][]change{"i": {exited(0)}, "s": {begun}}, ""},
		{"one that has started does not", v1.RestartPolicyAlways, map[string][]change{"i": {exited(0)}, "s": {running}}, "prepare j"},
		{"one that crashed before the next began", v1.RestartPolicyAlways, map[string][]change{"i": {exited(0)}, "s": {exited(0)}}, "prepare s"},
		{"one that crashed beside the next", v1.RestartPolicyNever, map[string][]change{"i": {exited(0)}, "s": {exited(1)}, "j": {running}}, "prepare s"},
		{"one held back does not hold the next", v1.RestartPolicyNever, map[string][]change{
			"i": {exited(0)}, "s": {exited(1), held(time.Second)}, "j": {exited(0)}}, "prepare t, wake in 1s"},
		{"the last sidecar holds the containers", v1.RestartPolicyAlways, map[string][]change{
			"i": {exited(0)}, "s": {running}, "j": {exited(0)}, "t": {begun}}, ""},
		{"the containers come with it", v1.RestartPolicyAlways, map[string][]change{
			"i": {exited(0)}, "s": {running}, "j": {exited(0)}, "t": {running}}, "prepare a, prepare b"},
		{"a crash after that holds nobody", v1.RestartPolicyAlways, map[string][]change{
			"i": {exited(0)}, "s": {running}, "j": {exited(0)}, "t": {exited(1)}, "a": {running}}, "prepare t, prepare b"},
		{"a failed init container ends the pod", v1.RestartPolicyNever, map[string][]change{
			"i": {exited(0)}, "s": {running}, "j": {exited(1)}}, "terminate s"},
		{"finished: the last sidecar first", v1.RestartPolicyNever, map[string][]change{
			"i": {exited(0)}, "s": {running}, "j": {exited(0)}, "t": {running}, "a": {exited(0)}, "b": {exited(1)}},
			"terminate t, wake in 30s"},
		{"finished: then the one before", v1.RestartPolicyNever, map[string][]change{
			"i": {exited(0)}, "s": {running}, "j": {exited(0)}, "t": {exited(1)}, "a": {exited(0)}, "b": {exited(1)}},
			"terminate s"},
		{"finished: all", v1.RestartPolicyNever, map[string][]change{
			"i": {exited(0)}, "s": {exited(137)}, "j": {exited(0)}, "t": {exited(1)}, "a": {exited(0)}, "b": {exited(1)}}, "done"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newState(sidecars(newPod(tt.policy, "i", "s", "j", "t", "|", "a", "b"), "s", "t"), noon)
			s.everStarted = true
			wantPlan(t, s, tt.c, tt.want)
		})
	}
}

// TestSidecar lives a pod with a probed sidecar to its end.
func TestSidecar(t *testing.T) {
	pod := sidecars(newPod(v1.RestartPolicyNever, "s", "i", "|", "a"), "s")
	pod.Spec.InitContainers[0].StartupProbe = execProbe("up")
	pod.Spec.InitContainers[0].ReadinessProbe = execProbe("ready")
	bubble(t, pod, func(l *test) {
		l.probes["s up"] = result(probe.Failure, "not yet")
		l.begin(nil)
		l.wantState("s", "running", 0)
		l.wantState("i", "waiting PodInitializing", 0)
		l.wantPhase(v1.PodPending)
		if got, want := l.condition(v1.PodInitialized).Message, "containers with incomplete status: [s i]"; got != want {
			t.Errorf("Initialized: got %q, want %q", got, want)
		}
		l.set(func() { l.probes["s up"], l.probes["s ready"] = nil, result(probe.Failure, "no") })
		l.sleep(2 * time.Second)
		l.wantState("i", "running", 0)
		l.exit("i", Exit{})
		l.wantState("a", "running", 0)
		l.wantPhase(v1.PodRunning)
		if got, want := l.condition(v1.PodReady).Message, "containers with unready status: [s]"; got != want {
			t.Errorf("Ready: got %q, want %q", got, want)
		}
		l.set(func() { delete(l.probes, "s ready") })
		l.sleep(time.Second)
		if got := l.condition(v1.PodReady).Status; got != v1.ConditionTrue {
			t.Errorf("Ready: got %s", got)
		}
		// A sidecar is restarted whatever the pod's policy is, and not waited for.
		l.exit("s", Exit{Code: 3})
		l.wantState("s", "running", 1)
		l.wantPhase(v1.PodRunning)
		if got := l.condition(v1.PodInitialized).Status; got != v1.ConditionTrue {
			t.Errorf("Initialized after a restart: got %s", got)
		}
		l.onTerm["s"] = Exit{Code: 7}
		l.exit("a", Exit{})
		if o, err := l.wait(); err != nil || o.Stopped || o.Status.Phase != v1.PodSucceeded {
			t.Errorf("got %s, stopped %v, %v; want Succeeded", o.Status.Phase, o.Stopped, err)
		}
		l.wantState("s", "terminated Error 7", 1)
		l.wantEvent("Normal Killing spec.initContainers{s} Stopping container s")
	})
}

// TestSidecarLiveness: a sidecar is killed by its probe as any container is.
func TestSidecarLiveness(t *testing.T) {
	pod := sidecars(newPod(v1.RestartPolicyNever, "s", "|", "a"), "s")
	pod.Spec.InitContainers[0].LivenessProbe = execProbe("alive")
	bubble(t, pod, func(l *test) {
		l.probes["s alive"] = result(probe.Failure, "dead")
		l.begin(nil)
		l.sleep(3 * time.Second)
		l.wantState("s", "running", 1)
		l.wantState("a", "running", 0)
		l.wantEvent("Normal Killing spec.initContainers{s} Init container s failed liveness probe")
	})
}

// TestSidecarsEndInOrder: the containers first, then the sidecars from the last
// to the first, each with what is left of the grace period, and at least two
// seconds.
func TestSidecarsEndInOrder(t *testing.T) {
	for _, tt := range []struct {
		name string
		deaf []string
		took time.Duration
		want []string
	}{
		{"all heed the signal", nil, 0, []string{"terminate a", "terminate b", "terminate t", "terminate s"}},
		{"a container takes it all", []string{"a"}, 30 * time.Second,
			[]string{"terminate a", "terminate b", "kill a", "terminate s", "terminate t"}},
		{"then each sidecar has two seconds", []string{"a", "s", "t"}, 32 * time.Second,
			[]string{"terminate a", "terminate b", "kill a", "kill s", "kill t", "terminate s", "terminate t"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pod := sidecars(newPod(v1.RestartPolicyAlways, "s", "t", "|", "a", "b"), "s", "t")
			bubble(t, pod, func(l *test) {
				for _, name := range tt.deaf {
					l.deaf[name] = true
				}
				l.begin(nil)
				l.took()
				began := time.Now()
				l.life.Stop(nil)
				o, err := l.wait()
				if err != nil || o.Status.Phase != v1.PodFailed {
					t.Errorf("got %s, %v", o.Status.Phase, err)
				}
				if got := time.Since(began); got != tt.took {
					t.Errorf("took %v, want %v", got, tt.took)
				}
				var got []string
				for _, entry := range l.took() {
					if entry[0] == 't' || entry[0] == 'k' {
						got = append(got, entry[:len(entry)-2])
					}
				}
				// What comes at the same moment comes in no order.
				slices.Sort(got[:2])
				if tt.took > 0 {
					slices.Sort(got[2:])
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// TestSidecarInANewMonitor: the end of a pod goes on where it was.
func TestSidecarInANewMonitor(t *testing.T) {
	pod := sidecars(newPod(v1.RestartPolicyNever, "s", "t", "|", "a"), "s", "t")
	bubble(t, pod, func(l *test) {
		l.deaf["t"] = true
		l.begin(nil)
		l.exit("a", Exit{})
		l.sleep(10 * time.Second)
		from := l.lastSave()
		l.cancel()
		<-l.done
		l.took()
		l.begin(&from)
		l.wantLog("terminate t 0")
		l.wantPhase(v1.PodRunning)
		l.sleep(20 * time.Second)
		if o, err := l.wait(); err != nil || o.Status.Phase != v1.PodSucceeded {
			t.Errorf("got %s, %v", o.Status.Phase, err)
		}
		if log := l.took(); !slices.Contains(log, "kill t 0") || !slices.Contains(log, "terminate s 0") {
			t.Errorf("asked of the runtime: %q", log)
		}
	})
}

// TestFailedInitWithSidecar: the phase changes when the sidecar has ended.
func TestFailedInitWithSidecar(t *testing.T) {
	pod := sidecars(newPod(v1.RestartPolicyNever, "s", "i", "|", "a"), "s")
	bubble(t, pod, func(l *test) {
		l.deaf["s"] = true
		l.begin(nil)
		l.exit("i", Exit{Code: 1})
		l.wantPhase(v1.PodPending)
		if got := l.condition(v1.PodReady).Reason; got != "PodFailed" {
			t.Errorf("Ready: got reason %s", got)
		}
		l.sleep(30 * time.Second)
		synctest.Wait()
		if o, err := l.wait(); err != nil || o.Status.Phase != v1.PodFailed {
			t.Errorf("got %s, %v", o.Status.Phase, err)
		}
		l.wantState("a", "waiting PodInitializing", 0)
	})
}
