package pod

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"podrun/probe"

	v1 "k8s.io/api/core/v1"
)

// killAndSet is kill9 with the wall clock set forward by as much in between.
func (l *test) killAndSet(by time.Duration) {
	l.Helper()
	told := l.lastSave().at(time.Now())
	l.cancel()
	<-l.done
	told.Shift(-by) // what was written before the clock was set is so much older now
	if told.Status.StartTime != nil {
		told.Status.StartTime.Time = told.Status.StartTime.Add(-by)
	}
	data, err := json.Marshal(told)
	if err != nil {
		l.Fatal(err)
	}
	var from Checkpoint
	if err := json.Unmarshal(data, &from); err != nil {
		l.Fatal(err)
	}
	from.Shift(by)
	l.begin(&from)
}

var jumps = map[string]time.Duration{"forward": 5 * time.Hour, "back": -5 * time.Hour, "not": 0}

// No wait becomes longer or shorter because the clock was set while there was no monitor.
func TestClockSetBetweenMonitors(t *testing.T) {
	for name, by := range jumps {
		t.Run(name, func(t *testing.T) {
			t.Run("active deadline", func(t *testing.T) {
				pod := newPod(v1.RestartPolicyAlways, "web")
				pod.Spec.ActiveDeadlineSeconds = new(int64(100))
				bubble(t, pod, func(l *test) {
					l.begin(nil)
					l.sleep(60 * time.Second)
					l.killAndSet(by)
					l.sleep(39 * time.Second)
					l.wantState("web", "running", 0)
					l.sleep(2 * time.Second)
					if got := l.life.Status().Reason; got != deadlineExceeded {
						t.Errorf("got %q after the deadline", got)
					}
				})
			})
			t.Run("back-off", func(t *testing.T) {
				bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
					l.begin(nil)
					l.sleep(time.Second)
					l.exit("web", Exit{Code: 1})
					l.sleep(time.Second)
					l.exit("web", Exit{Code: 1})
					l.sleep(5 * time.Second)
					l.killAndSet(by)
					l.sleep(4 * time.Second)
					l.wantState("web", "waiting CrashLoopBackOff", 1)
					l.sleep(2 * time.Second)
					l.wantState("web", "running", 2)
					l.exit("web", Exit{Code: 1}) // and it goes on doubling
					l.sleep(19 * time.Second)
					l.wantState("web", "waiting CrashLoopBackOff", 2)
				})
			})
			t.Run("initial delay", func(t *testing.T) {
				pod := probedPod(v1.RestartPolicyAlways)
				pod.Spec.Containers[0].LivenessProbe = httpProbe("/live", func(p *v1.Probe) { p.InitialDelaySeconds = 60 })
				bubble(t, pod, func(l *test) {
					l.begin(nil)
					l.sleep(30 * time.Second)
					l.took()
					l.killAndSet(by)
					l.sleep(30*time.Second - 1)
					l.wantLog()
					l.sleep(2)
					l.wantLog("probe " + target + "/live")
				})
			})
			t.Run("grace period", func(t *testing.T) {
				bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
					l.deaf["web"] = true
					l.begin(nil)
					l.sleep(time.Second)
					l.life.Stop(new(int64(30)))
					l.sleep(10 * time.Second)
					l.took()
					l.killAndSet(by)
					l.sleep(19 * time.Second)
					l.wantLog("terminate web 0")
					l.sleep(2 * time.Second)
					l.wantLog("kill web 0", "remove web 0")
				})
			})
		})
	}
}

// Probes go on where they were, whoever makes them.
func TestCountsSurviveTheMonitor(t *testing.T) {
	pod := probedPod(v1.RestartPolicyAlways)
	pod.Spec.Containers[0].LivenessProbe = httpProbe("/live", nil)
	bubble(t, pod, func(l *test) {
		l.begin(nil)
		l.set(func() { l.probes[target+"/live"] = result(probe.Failure, "no") })
		for range 24 { // probed at 10 and 20 s: two failures of three
			l.sleep(time.Second)
			l.kill9()
		}
		if got := l.lastSave().Containers[0].Probes; len(got) != 1 || got[0].Probe != "Liveness" || got[0].Run != 2 {
			t.Errorf("counted %+v", got)
		}
		l.wantState("web", "running", 0)
		l.sleep(7 * time.Second)
		l.wantEvent("Normal Killing spec.containers{web} Container web failed liveness probe, will be restarted")
	})
}

// What ignores its stop signal is killed when its time is over, also by monitors
// that live shorter than that.
func TestGraceSurvivesTheMonitor(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
		l.deaf["web"] = true
		l.begin(nil)
		l.sleep(time.Second)
		l.life.Stop(new(int64(1)))
		for range 8 {
			l.sleep(250*time.Millisecond - 1)
			l.kill9()
		}
		l.sleep(10)
		if got := l.took(); !slices.Contains(got, "kill web 0") {
			t.Errorf("asked of the runtime: %q", got)
		}
	})
}

// One that is not ready yet is asked often, also by the next monitor, and extra
// questions count as little.
func TestHurrySurvivesTheMonitor(t *testing.T) {
	pod := probedPod(v1.RestartPolicyAlways)
	pod.Spec.Containers[0].ReadinessProbe = httpProbe("/ready", func(p *v1.Probe) { p.PeriodSeconds = 60 })
	bubble(t, pod, func(l *test) {
		l.set(func() { l.probes[target+"/ready"] = result(probe.Failure, "no") })
		l.begin(nil)
		l.sleep(20 * time.Second)
		l.kill9()
		l.set(func() { l.probes[target+"/ready"] = result(probe.Success, "") })
		l.sleep(time.Second)
		l.wantReady(true)
	})
}

// apiTimes are shown, and nothing waits by them.
var apiTimes = map[string]bool{"StartedAt": true}

// A moment that Shift leaves out would be off by as much as the clock was set.
func TestShiftMovesAllMoments(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := Checkpoint{Stop: &Stop{}, Ending: &Ending{}, Containers: []Record{{Kill: &Deadline{}, Failure: &Waiting{}, Probes: []ProbeCount{{}}}}}
	var fill func(v reflect.Value, path string, each func(string, *time.Time))
	fill = func(v reflect.Value, path string, each func(string, *time.Time)) {
		if when, ok := v.Addr().Interface().(*time.Time); ok {
			each(path, when)
			return
		}
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() && !strings.HasPrefix(v.Type().Elem().PkgPath(), "k8s.io/") {
				fill(v.Elem(), path, each)
			}
		case reflect.Struct:
			if strings.HasPrefix(v.Type().PkgPath(), "k8s.io/") {
				return
			}
			for i := range v.NumField() {
				if name := v.Type().Field(i).Name; !apiTimes[name] {
					fill(v.Field(i), path+"."+name, each)
				}
			}
		case reflect.Slice:
			for i := range v.Len() {
				fill(v.Index(i), path, each)
			}
		}
	}
	count := 0
	fill(reflect.ValueOf(&p).Elem(), "", func(_ string, when *time.Time) { *when = at; count++ })
	if count < 9 {
		t.Errorf("only %d moments found", count)
	}
	p.Shift(time.Hour)
	fill(reflect.ValueOf(&p).Elem(), "", func(path string, when *time.Time) {
		if !when.Equal(at.Add(time.Hour)) {
			t.Errorf("%s is not moved", path)
		}
	})
	// And what is saved is a copy.
	told := p.at(time.Now())
	told.Shift(time.Hour)
	fill(reflect.ValueOf(&p).Elem(), "", func(path string, when *time.Time) {
		if !when.Equal(at.Add(time.Hour)) {
			t.Errorf("%s of the state is moved with its copy", path)
		}
	})
}
