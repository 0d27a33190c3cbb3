package pod

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"podrun/probe"

	v1 "k8s.io/api/core/v1"
)

// kill9 begins the next life from what the last one saved, as it is on disk.
func (l *test) kill9() {
	l.Helper()
	data, err := json.Marshal(l.lastSave())
	l.cancel()
	<-l.done
	if err != nil {
		l.Fatal(err)
	}
	var from Checkpoint
	if err := json.Unmarshal(data, &from); err != nil {
		l.Fatal(err)
	}
	l.begin(&from)
}

func TestResumeRunning(t *testing.T) {
	pod := probedPod(v1.RestartPolicyAlways)
	pod.Spec.Containers[0].ReadinessProbe = httpProbe("/ready", nil)
	bubble(t, pod, func(l *test) {
		l.begin(nil)
		l.sleep(time.Second)
		l.wantReady(true)
		before := l.life.Status()
		l.sleep(time.Minute)
		// A probe that has no verdict yet does not take readiness away.
		l.set(func() { l.probes[target+"/ready"] = result(probe.Failure, "refused") })
		l.took()
		l.kill9()
		l.wantLog() // until it is time
		l.wantReady(true)
		after := l.life.Status()
		if !before.StartTime.Equal(after.StartTime) || !before.Conditions[2].LastTransitionTime.Equal(&after.Conditions[2].LastTransitionTime) ||
			!before.ContainerStatuses[0].State.Running.StartedAt.Equal(&after.ContainerStatuses[0].State.Running.StartedAt) {
			t.Errorf("status changed:\n%+v\n%+v", before, after)
		}
		l.sleep(time.Minute)
		l.wantReady(false)
		l.exit("web", Exit{Code: 1})
		l.wantState("web", "running", 1)
	})
}

// TestResumeTells: who asks a new monitor hears of the pod, also where nothing of it
// is another than what was saved.
func TestResumeTells(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
		l.begin(nil)
		l.cancel()
		<-l.done
		from, now := l.lastSave(), time.Now()
		s := newState(l.pod, now)
		s.resume(&from, l.alive, now)
		from = s.checkpoint(from.Status) // to the byte what the next life has, also its clock
		before := l.saveCount()
		l.begin(&from)
		if l.saveCount() != before+1 || len(l.lastSave().Status.ContainerStatuses) != 1 {
			t.Errorf("saved %d times, want once, with the container", l.saveCount()-before)
		}
		l.sleep(time.Hour)
		if l.saveCount() != before+1 {
			t.Errorf("saved %d times while nothing happened", l.saveCount()-before)
		}
	})
}

// TestAddressesThatComeLate: the status and the probes have them at once.
func TestAddressesThatComeLate(t *testing.T) {
	pod := probedPod(v1.RestartPolicyAlways)
	pod.Spec.Containers[0].ReadinessProbe = httpProbe("/ready", nil)
	bubble(t, pod, func(l *test) {
		l.begin(nil)
		l.sleep(time.Second)
		l.took()
		l.life.SetAddresses(&v1.PodStatus{
			HostIP: "192.0.2.7", HostIPs: []v1.HostIP{{IP: "192.0.2.7"}},
			PodIP: "10.244.0.9", PodIPs: []v1.PodIP{{IP: "10.244.0.9"}, {IP: "fd00::9"}},
		})
		synctest.Wait()
		for name, got := range map[string]v1.PodStatus{"saved": l.lastSave().Status, "shown": l.life.Status()} {
			if got.HostIP != "192.0.2.7" || got.PodIP != "10.244.0.9" || len(got.HostIPs) != 1 || len(got.PodIPs) != 2 {
				t.Errorf("%s: %s %v, %s %v", name, got.HostIP, got.HostIPs, got.PodIP, got.PodIPs)
			}
		}
		l.sleep(30 * time.Second)
		if got := slices.Compact(l.took()); !slices.Equal(got, []string{"probe 10.244.0.9:8080/ready"}) {
			t.Errorf("asked of the runtime: %q", got)
		}
	})
}

// TestResumeLost: a container that ended while no monitor was there is what its
// exit, told later, says it is.
func TestResumeLost(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyNever, "web", "log"), func(l *test) {
		l.begin(nil)
		l.cancel()
		<-l.done
		delete(l.running, "web")
		delete(l.alive, "web")
		from := l.lastSave()
		if got, want := from.Owed(l.alive), map[string]int{"web": 0}; !maps.Equal(got, want) {
			t.Errorf("owed: got %v, want %v", got, want)
		}
		l.took()
		l.begin(&from)
		l.sleep(time.Hour)
		l.wantLog()
		l.wantState("web", "running", 0)
		l.life.Exited("web", 0, Exit{Code: 137, Reason: "ContainerStatusUnknown"})
		l.wantState("web", "terminated ContainerStatusUnknown 137", 0)
		l.exit("log", Exit{})
		if o, err := l.wait(); err != nil || o.Status.Phase != v1.PodFailed {
			t.Errorf("got %s, %v", o.Status.Phase, err)
		}
	})
}

func TestResumeBackoff(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
		l.begin(nil)
		l.exit("web", Exit{Code: 1})
		l.exit("web", Exit{Code: 1})
		l.sleep(4 * time.Second)
		l.kill9()
		l.wantState("web", "waiting CrashLoopBackOff", 1)
		l.sleep(6*time.Second - 1)
		l.wantState("web", "waiting CrashLoopBackOff", 1)
		l.sleep(1)
		l.wantState("web", "running", 2)
		l.exit("web", Exit{Code: 1})
		if got, want := l.status("web").State.Waiting.Message[:12], "back-off 20s"; got != want {
			t.Errorf("the back-off began anew: got %q, want %q", got, want)
		}
	})
}

func TestResumeAfterAFailedRemoval(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyNever, "web", "log"), func(l *test) {
		l.always["remove web"] = errBroken
		l.begin(nil)
		l.exit("web", Exit{})
		l.sleep(time.Second)
		l.set(func() { clear(l.always) })
		l.took()
		l.kill9()
		l.wantLog("remove web 0")
		l.exit("log", Exit{})
		if o, err := l.wait(); err != nil || o.Status.Phase != v1.PodSucceeded {
			t.Errorf("got %s, %v", o.Status.Phase, err)
		}
	})
}

func TestResumeStop(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
		l.deaf["web"] = true
		l.begin(nil)
		began := time.Now()
		l.life.Stop(nil)
		l.sleep(10 * time.Second)
		l.kill9()
		l.took()
		if o, err := l.wait(); err != nil || !o.Stopped || time.Since(began) != 30*time.Second {
			t.Errorf("got %v, %v after %v", o.Stopped, err, time.Since(began))
		}
		l.wantLog("kill web 0", "remove web 0")
	})
}

// TestResumeUnderWay kills the monitor in each step of making a container.
func TestResumeUnderWay(t *testing.T) {
	for _, tt := range []struct {
		slow string
		want []string // of the next monitor
	}{
		{"image web", []string{"remove web 0", "image web 0", "create web 0", "start web 0"}},
		{"create web", []string{"remove web 0", "image web 0", "create web 0", "start web 0"}},
		{"start web", []string{"start web 0"}},
	} {
		t.Run(tt.slow, func(t *testing.T) {
			bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
				l.delay[tt.slow] = time.Hour
				l.begin(nil)
				from := l.lastSave() // before the cancelled calls come back
				l.cancel()
				<-l.done
				clear(l.delay)
				l.took()
				l.begin(&from)
				l.wantLog(tt.want...)
				l.wantState("web", "running", 0)
			})
		})
	}
	t.Run("start, and stop", func(t *testing.T) {
		bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
			l.delay["start web"] = time.Hour
			l.begin(nil)
			l.cancel()
			<-l.done
			clear(l.delay)
			l.took()
			from := l.lastSave()
			from.Stop = &Stop{Deadline: after(time.Now(), time.Minute)}
			l.begin(&from)
			if o, err := l.wait(); err != nil || !o.Stopped {
				t.Errorf("got %v, %v", o, err)
			}
			l.wantLog("start web 0", "terminate web 0", "remove web 0")
		})
	})
	t.Run("start, which had ended", func(t *testing.T) {
		bubble(t, newPod(v1.RestartPolicyNever, "web"), func(l *test) {
			l.delay["start web"] = time.Hour
			l.begin(nil)
			l.cancel()
			<-l.done
			clear(l.alive)
			from := l.lastSave()
			l.begin(&from)
			l.life.Exited("web", 0, Exit{Code: 3})
			if o, err := l.wait(); err != nil || o.Status.Phase != v1.PodFailed {
				t.Errorf("got %s, %v", o.Status.Phase, err)
			}
			l.wantState("web", "terminated Error 3", 0)
		})
	})
	t.Run("start, ending as it is asked again", func(t *testing.T) {
		bubble(t, newPod(v1.RestartPolicyNever, "web"), func(l *test) {
			l.delay["start web"] = time.Hour
			l.begin(nil)
			l.cancel()
			<-l.done
			clear(l.delay)
			l.fail["start web"] = errBroken // the machine knows no better
			l.delay["start web"] = time.Second
			from := l.lastSave()
			l.begin(&from)
			go l.life.Exited("web", 0, Exit{Code: 3})
			l.sleep(time.Second)
			l.wantState("web", "terminated Error 3", 0)
		})
	})
}

func TestResumeAfterTheClockWasSet(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  time.Duration // the clock, between the lives
		left time.Duration // of a back-off of 10 s
	}{
		{"back for a day", -24 * time.Hour, 10 * time.Second},
		{"forward for a day", 24 * time.Hour, 0},
		{"not", 0, 10 * time.Second},
		{"forward a little", 4 * time.Second, 6 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			saved := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			now := saved.Add(tt.set)
			pod := newPod(v1.RestartPolicyAlways, "web")
			last := &v1.ContainerStateTerminated{ExitCode: 1}
			p := &Checkpoint{EverStarted: true, Containers: []Record{{
				Name: "web", Attempt: 1, Stage: stageExited, Removed: true, Last: last,
				FinishedAt: saved, NotBefore: after(saved, 10*time.Second),
				Crash: Backoff{Delay: 10 * time.Second, Updated: saved},
			}}}
			s := newState(pod, now)
			s.resume(p, nil, now)
			got := s.plan(now)
			if tt.left == 0 {
				if len(got.actions) != 1 || got.actions[0].kind != actPrepare {
					t.Errorf("got %+v, want a new attempt", got)
				}
			} else if got.wake.Sub(now) != tt.left {
				t.Errorf("waits %v, want %v", got.wake.Sub(now), tt.left)
			}
		})
	}
}

// TestClockSetBackWhileItLives: a delay that was counted from a time in the
// future is no longer than it was written.
func TestClockSetBackWhileItLives(t *testing.T) {
	pod := probedPod(v1.RestartPolicyAlways)
	pod.Spec.Containers[0].ReadinessProbe = httpProbe("/ready", func(p *v1.Probe) { p.InitialDelaySeconds = 5 })
	c := newState(pod, noon).app[0]
	for _, tt := range []struct{ started, want time.Duration }{
		{24 * time.Hour, 5 * time.Second},
		{0, 5 * time.Second},
		{-2 * time.Second, 3 * time.Second},
		{-24 * time.Hour, 0},
	} {
		c.armProbes(noon.Add(tt.started), noon)
		if got := c.probes[readinessProbe].at.Sub(noon); got != tt.want {
			t.Errorf("started at %v: first probe in %v, want %v", tt.started, got, tt.want)
		}
	}
	s := newState(newPod(v1.RestartPolicyAlways, "web"), noon)
	c = s.app[0]
	c.Crash = Backoff{Delay: 20 * time.Second, Updated: noon}
	at(stageRunning)(c)
	s.end(c, Exit{Code: 1, At: noon.Add(-time.Hour)}, noon)
	if c.NotBefore.At.Sub(noon) != 0 {
		t.Errorf("ended an hour ago: waits %v", c.NotBefore.At.Sub(noon))
	}
}

func TestCheckpointReads(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	want := Record{
		Name: "web", Attempt: 3, Stage: stageRunning, StartedAt: now, Started: true, Ready: true,
		Kill: ptr(after(now, time.Second)), NotBefore: after(now, time.Minute), Crash: Backoff{Delay: time.Second, Updated: now},
	}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Record
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	again, _ := json.Marshal(got)
	if string(again) != string(data) || *got.Kill != *want.Kill || got.NotBefore != want.NotBefore || got.Crash != want.Crash {
		t.Errorf("got  %s\nwant %s", again, data)
	}
	for _, bad := range []string{
		`{"at":"yesterday","length":"1s"}`,           // no time
		`{"at":"2026-01-02T03:04:05Z","length":"1"}`, // no unit
		`{"at":"2026-01-02T03:04:05Z"}`,              // no length
	} {
		if err := json.Unmarshal([]byte(bad), &Deadline{}); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}
