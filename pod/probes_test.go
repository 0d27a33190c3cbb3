package pod

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"podrun/probe"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// httpProbe asks for /path at the container port named http, 8080.
func httpProbe(path string, change func(*v1.Probe)) *v1.Probe {
	p := &v1.Probe{
		ProbeHandler:  v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: path, Port: intstr.FromString("http")}},
		PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3,
	}
	if change != nil {
		change(p)
	}
	return p
}

const target = "10.244.0.2:8080"

func probedPod(policy v1.RestartPolicy) *v1.Pod {
	pod := newPod(policy, "web")
	pod.Spec.Containers[0].Ports = []v1.ContainerPort{{Name: "http", ContainerPort: 8080}}
	return pod
}

func result(r probe.Result, detail string) func() (probe.Result, string, error) {
	return func() (probe.Result, string, error) { return r, detail, nil }
}

func (l *test) wantReady(want bool) {
	l.Helper()
	if got := l.status("web").Ready; got != want {
		l.Errorf("ready: got %v, want %v", got, want)
	}
	if got := l.condition(v1.PodReady).Status == v1.ConditionTrue; got != want {
		l.Errorf("condition Ready: got %v, want %v", got, want)
	}
}

func TestReadiness(t *testing.T) {
	pod := probedPod(v1.RestartPolicyAlways)
	pod.Spec.Containers[0].ReadinessProbe = httpProbe("/ready", func(p *v1.Probe) { p.InitialDelaySeconds = 5 })
	bubble(t, pod, func(l *test) {
		l.begin(nil)
		l.took()
		l.wantReady(false)
		l.sleep(5*time.Second - 1)
		l.wantLog()
		l.sleep(1)
		l.wantLog("probe " + target + "/ready")
		l.wantReady(true)
		since := l.condition(v1.PodReady).LastTransitionTime
		saves := l.saveCount()

		l.set(func() { l.probes[target+"/ready"] = result(probe.Failure, "HTTP probe failed with statuscode: 500") })
		l.sleep(20 * time.Second)
		l.wantReady(true) // two failures of three
		if got := l.saveCount(); got != saves+2 {
			t.Errorf("saved %d times, want once a failure that counts", got-saves)
		}
		l.sleep(10 * time.Second)
		l.wantReady(false)
		l.wantEvent("Warning Unhealthy spec.containers{web} Readiness probe failed: HTTP probe failed with statuscode: 500")
		c := l.condition(v1.ContainersReady)
		if c.Reason != "ContainersNotReady" || c.Message != "containers with unready status: [web]" || c.LastTransitionTime == since {
			t.Errorf("ContainersReady: got %+v", c)
		}
		l.wantPhase(v1.PodRunning)
		l.set(func() { clear(l.probes) })
		l.sleep(10 * time.Second)
		l.wantReady(true)
	})
}

// TestSilentServer: the extra attempts end, and the failures they would add are
// not counted.
func TestSilentServer(t *testing.T) {
	pod := probedPod(v1.RestartPolicyAlways)
	c := &pod.Spec.Containers[0]
	c.StartupProbe = httpProbe("/startup", func(p *v1.Probe) { p.FailureThreshold = 60 })
	bubble(t, pod, func(l *test) {
		l.probes[target+"/startup"] = result(probe.Failure, "refused")
		l.begin(nil)
		l.sleep(590*time.Second - 1)
		if got, want := len(l.took())-3, 59+6; got != want {
			t.Errorf("attempts in ten minutes: got %d, want %d", got, want)
		}
		l.wantState("web", "running", 0)
		l.set(func() { l.deaf["web"] = true })
		l.sleep(1)
		l.wantEvent("Normal Killing spec.containers{web} Container web failed startup probe, will be restarted")
	})
}

// TestReadinessHurries: a server that listens a moment after its start is not
// left unready for a whole period.
func TestReadinessHurries(t *testing.T) {
	pod := probedPod(v1.RestartPolicyAlways)
	pod.Spec.Containers[0].ReadinessProbe = httpProbe("/ready", nil)
	bubble(t, pod, func(l *test) {
		l.probes[target+"/ready"] = result(probe.Failure, "refused")
		l.begin(nil)
		l.took()
		l.sleep(time.Second)
		if got := len(l.took()); got != 3 { // after 0.1, 0.3 and 0.7 s
			t.Errorf("extra attempts in the first second: got %d, want 3", got)
		}
		l.set(func() { clear(l.probes) })
		l.sleep(time.Second)
		l.wantReady(true)
		unhealthy := 0
		for _, e := range l.told() {
			if e == "Warning Unhealthy spec.containers{web} Readiness probe failed: refused" {
				unhealthy++
			}
		}
		if unhealthy != 1 {
			t.Errorf("got %d events, want one: the extra attempts are silent", unhealthy)
		}
		l.took()
		l.sleep(8 * time.Second) // 10 s after the start
		l.wantLog("probe " + target + "/ready")
	})
}

func TestLiveness(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy v1.RestartPolicy
		own    *int64 // the probe's grace period
		took   time.Duration
		state  string
		event  string
	}{
		{"always", v1.RestartPolicyAlways, nil, 30 * time.Second, "running", "Container web failed liveness probe, will be restarted"},
		{"own grace", v1.RestartPolicyAlways, ptr(int64(2)), 2 * time.Second, "running", "Container web failed liveness probe, will be restarted"},
		{"on failure", v1.RestartPolicyOnFailure, nil, 30 * time.Second, "running", "Container web failed liveness probe, will be restarted"},
		{"never", v1.RestartPolicyNever, nil, 30 * time.Second, "terminated Error 137", "Container web failed liveness probe"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pod := probedPod(tt.policy)
			pod.Spec.Containers[0].LivenessProbe = httpProbe("/live", func(p *v1.Probe) { p.TerminationGracePeriodSeconds = tt.own })
			bubble(t, pod, func(l *test) {
				l.deaf["web"] = true
				l.probes[target+"/live"] = result(probe.Failure, "refused")
				l.begin(nil)
				l.wantReady(true) // liveness says nothing about readiness
				l.sleep(20 * time.Second)
				l.wantEvent("Normal Killing spec.containers{web} " + tt.event)
				l.took()
				l.sleep(tt.took - 1)
				l.wantLog() // and no probe of a container that is going
				l.sleep(1)
				restarts := int32(0)
				if tt.state == "running" {
					restarts = 1
				}
				l.wantState("web", tt.state, restarts)
			})
		})
	}
}

// TestLivenessEndsWell: a container that its probe ended is restarted under
// OnFailure although it ended with 0.
func TestLivenessEndsWell(t *testing.T) {
	pod := probedPod(v1.RestartPolicyOnFailure)
	pod.Spec.Containers[0].LivenessProbe = httpProbe("/live", nil)
	bubble(t, pod, func(l *test) {
		l.onTerm["web"] = Exit{}
		l.probes[target+"/live"] = result(probe.Failure, "refused")
		l.begin(nil)
		l.sleep(20 * time.Second)
		l.wantState("web", "running", 1)
		l.wantPhase(v1.PodRunning)
	})
}

func TestStartup(t *testing.T) {
	pod := probedPod(v1.RestartPolicyAlways)
	c := &pod.Spec.Containers[0]
	c.StartupProbe = httpProbe("/startup", func(p *v1.Probe) { p.PeriodSeconds = 1 })
	c.ReadinessProbe = httpProbe("/ready", nil)
	c.LivenessProbe = httpProbe("/live", nil)
	bubble(t, pod, func(l *test) {
		l.probes[target+"/startup"] = result(probe.Failure, "refused")
		l.begin(nil)
		l.sleep(time.Second)
		log := l.took()
		if got, want := log[len(log)-2:], []string{"probe " + target + "/startup", "probe " + target + "/startup"}; !slices.Equal(got, want) {
			t.Errorf("before it has started: got %q", got)
		}
		if cs := l.status("web"); *cs.Started || cs.Ready {
			t.Errorf("before it has started: started %v, ready %v", *cs.Started, cs.Ready)
		}
		l.set(func() { clear(l.probes) })
		l.sleep(time.Second)
		log = l.took()
		slices.Sort(log[1:])
		if want := []string{"probe " + target + "/startup", "probe " + target + "/live", "probe " + target + "/ready"}; !slices.Equal(log, want) {
			t.Errorf("at its start: got %q, want %q", log, want)
		}
		l.wantReady(true)
		l.sleep(5 * time.Second)
		l.wantLog() // the startup probe is done
	})
	t.Run("fails", func(t *testing.T) {
		bubble(t, pod, func(l *test) {
			l.probes[target+"/startup"] = result(probe.Failure, "refused")
			l.begin(nil)
			l.sleep(2 * time.Second)
			l.wantState("web", "running", 1)
			l.wantEvent("Normal Killing spec.containers{web} Container web failed startup probe, will be restarted")
		})
	})
}

func TestProbeWithoutVerdict(t *testing.T) {
	pod := probedPod(v1.RestartPolicyAlways)
	pod.Spec.Containers[0].LivenessProbe = httpProbe("/live", func(p *v1.Probe) { p.FailureThreshold = 1 })
	bubble(t, pod, func(l *test) {
		l.probes[target+"/live"] = func() (probe.Result, string, error) { return probe.Failure, "", errBroken }
		l.begin(nil)
		l.took()
		l.sleep(10 * time.Second)
		if got := len(l.took()); got != probeTries {
			t.Errorf("tries: got %d, want %d", got, probeTries)
		}
		l.wantState("web", "running", 0)
		l.wantEvent("Warning Unhealthy spec.containers{web} Liveness probe errored and resulted in failure state: broken")
		l.set(func() { l.probes[target+"/live"] = result(probe.Warning, "moved") })
		l.sleep(10 * time.Second)
		l.wantEvent("Warning ProbeWarning spec.containers{web} Liveness probe warning: moved")
	})
}

// TestRealProbe asks a real server in real time.
func TestRealProbe(t *testing.T) {
	asked := make(chan string, 8)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header.Get("X-Why") }))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	pod := probedPod(v1.RestartPolicyAlways)
	c := &pod.Spec.Containers[0]
	c.Ports[0].ContainerPort = int32(n)
	c.ReadinessProbe = httpProbe("/ready", func(p *v1.Probe) { p.HTTPGet.HTTPHeaders = []v1.HTTPHeader{{Name: "X-Why", Value: "because"}} })
	m := newMachine()
	ready := make(chan bool, 1)
	m.life = New(Config{Pod: pod, Runtime: m, Prober: &probe.Prober{}, PodIP: "127.0.0.1", Save: func(p Checkpoint) {
		if p.Status.ContainerStatuses[0].Ready {
			select {
			case ready <- true:
			default:
			}
		}
	}})
	done := make(chan error)
	go func() {
		_, err := m.life.Run(t.Context())
		done <- err
	}()
	if got := <-asked; got != "because" {
		t.Errorf("header: got %q", got)
	}
	<-ready
	m.life.Stop(nil)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestThresholds(t *testing.T) {
	pod := probedPod(v1.RestartPolicyAlways)
	pod.Spec.Containers[0].ReadinessProbe = httpProbe("/ready", func(p *v1.Probe) { p.SuccessThreshold = 3 })
	bubble(t, pod, func(l *test) {
		l.begin(nil)
		l.sleep(19 * time.Second)
		l.wantReady(false)
		l.sleep(time.Second)
		l.wantReady(true)
	})
}

func TestProbeHandlers(t *testing.T) {
	late := errors.New("late")
	for _, tt := range []struct {
		name    string
		handler v1.ProbeHandler
		key     string // how the machine sees it
		result  func() (probe.Result, string, error)
		event   string // none: it succeeds
	}{
		{"exec", v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"check"}}}, "web check", result(probe.Success, ""), ""},
		{"exec fails", v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"check"}}}, "web check", result(probe.Failure, "no\n"), "Readiness probe failed: no\n"},
		{"exec hangs", v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"check", "-x"}}}, "web check",
			func() (probe.Result, string, error) {
				time.Sleep(1100 * time.Millisecond)
				return probe.Failure, "", late
			},
			`Readiness probe failed: command timed out: "check -x" timed out after 1s`},
		{"tcp", v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.FromInt32(80)}}, "10.244.0.2:80", result(probe.Success, ""), ""},
		{"tcp elsewhere", v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Host: "::1", Port: intstr.FromString("http")}}, "[::1]:8080", result(probe.Failure, "refused"), "Readiness probe failed: refused"},
		{"grpc", v1.ProbeHandler{GRPC: &v1.GRPCAction{Port: 5000}}, "10.244.0.2:5000/", result(probe.Success, ""), ""},
		{"grpc service", v1.ProbeHandler{GRPC: &v1.GRPCAction{Port: 5000, Service: new("db")}}, "10.244.0.2:5000/db", result(probe.Failure, "down"), "Readiness probe failed: down"},
		{"http elsewhere", v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Host: "h", Path: "/", Port: intstr.FromString("81")}}, "h:81/", result(probe.Failure, "refused"), "Readiness probe failed: refused"},
		{"no such port", v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Port: intstr.FromString("nope")}}, "", nil,
			`Readiness probe errored and resulted in unknown state: find port "nope": the container has no port of that name`},
		{"port too high", v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.FromInt32(70000)}}, "", nil,
			"Readiness probe errored and resulted in unknown state: invalid port number: 70000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pod := probedPod(v1.RestartPolicyAlways)
			pod.Spec.Containers[0].ReadinessProbe = httpProbe("", func(p *v1.Probe) { p.ProbeHandler = tt.handler })
			bubble(t, pod, func(l *test) {
				l.probes[tt.key] = tt.result
				l.begin(nil)
				l.sleep(2 * time.Second)
				l.wantReady(tt.event == "")
				if tt.event != "" {
					l.wantEvent("Warning Unhealthy spec.containers{web} " + tt.event)
				}
			})
		})
	}
}

// TestProbeOutlivesItsContainer: the answer about an attempt that is over is not
// taken for one about the next.
func TestProbeOutlivesItsContainer(t *testing.T) {
	pod := probedPod(v1.RestartPolicyAlways)
	pod.Spec.Containers[0].LivenessProbe = httpProbe("/live", func(p *v1.Probe) { p.FailureThreshold = 1 })
	bubble(t, pod, func(l *test) {
		first := true
		l.probes[target+"/live"] = func() (probe.Result, string, error) {
			if first {
				first = false
				time.Sleep(5 * time.Second)
				return probe.Failure, "late", nil
			}
			return probe.Success, "", nil
		}
		l.begin(nil)
		l.exit("web", Exit{Code: 1})
		l.sleep(8 * time.Second)
		l.wantState("web", "running", 1)
	})
}
