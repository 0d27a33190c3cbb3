package pod

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// test is one pod's life in a bubble.
type test struct {
	*testing.T
	*machine
	pod     *v1.Pod
	sandbox string
	cancel  context.CancelFunc
	done    chan struct{}
	outcome Outcome
	err     error
}

// bubble runs f in a synctest bubble, which fails if a goroutine is left, and
// checks that the machine was not misused.
func bubble(t *testing.T, pod *v1.Pod, f func(*test)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &test{T: t, machine: newMachine(), pod: pod}
		defer func() { // also after a Fatal, which the bubble would hide otherwise
			if l.cancel != nil {
				l.cancel()
				<-l.done
			}
			for _, w := range l.wrong {
				t.Error(w)
			}
		}()
		f(l)
	})
}

// begin starts the pod's life, or goes on with it from a checkpoint.
func (l *test) begin(from *Checkpoint) {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.done = cancel, make(chan struct{})
	l.life = New(Config{
		Pod: l.pod, Checkpoint: from, Alive: maps.Clone(l.alive), Runtime: l.machine, Prober: l.machine,
		Save: func(p Checkpoint) { l.set(func() { l.saves = append(l.saves, p) }) },
		Event: func(e Event) {
			l.set(func() { l.events = append(l.events, e.Type+" "+e.Reason+" "+e.Object+" "+e.Message) })
		},
		HostIP: "192.0.2.1", PodIP: "10.244.0.2", Sandbox: l.sandbox,
	})
	go func() {
		defer close(l.done)
		l.outcome, l.err = l.life.Run(ctx)
	}()
	synctest.Wait()
}

// die kills the monitor, and with a sandbox of another name all that was in the
// old one; the next monitor is told of the ends that it owes.
func (l *test) die(sandbox string) {
	from := l.lastSave()
	l.cancel()
	<-l.done
	if sandbox != l.sandbox {
		l.sandbox = sandbox
		clear(l.alive)
		clear(l.running)
	}
	owed := from.Owed(l.alive)
	l.begin(&from)
	for name, attempt := range owed {
		l.mutex.Lock()
		delete(l.running, name)
		l.mutex.Unlock()
		l.life.Exited(name, attempt, Exit{Code: 137, Reason: "ContainerStatusUnknown"})
	}
	synctest.Wait()
}

// sleep lets the machine go on. What the test has read so far comes before that,
// also for the race detector.
func (l *test) sleep(d time.Duration) {
	l.mutex.Lock()
	//lint:ignore SA2001 it orders, and guards nothing
	l.mutex.Unlock()
	time.Sleep(d)
	synctest.Wait()
}

func (l *test) exit(name string, e Exit) {
	l.exitLater(name, e)
	synctest.Wait()
}

func (l *test) wait() (Outcome, error) {
	<-l.done
	return l.outcome, l.err
}

func (l *test) status(name string) v1.ContainerStatus {
	l.Helper()
	st := l.life.Status()
	for _, cs := range slices.Concat(st.InitContainerStatuses, st.ContainerStatuses, st.EphemeralContainerStatuses) {
		if cs.Name == name {
			return cs
		}
	}
	l.Fatalf("no status of container %s", name)
	return v1.ContainerStatus{}
}

func (l *test) wantLog(want ...string) {
	l.Helper()
	if got := l.took(); !slices.Equal(got, want) {
		l.Errorf("asked of the runtime:\n got %q\nwant %q", got, want)
	}
}

func (l *test) wantPhase(want v1.PodPhase) {
	l.Helper()
	if got := l.life.Status().Phase; got != want {
		l.Errorf("phase: got %s, want %s", got, want)
	}
}

// wantState compares a state as "waiting Reason", "running" or "terminated
// Reason code", with the restart count.
func (l *test) wantState(name, want string, restarts int32) {
	l.Helper()
	cs := l.status(name)
	if got := describe(cs.State); got != want || cs.RestartCount != restarts {
		l.Errorf("%s: got %s after %d restarts, want %s after %d", name, got, cs.RestartCount, want, restarts)
	}
}

func describe(st v1.ContainerState) string {
	switch {
	case st.Waiting != nil:
		return "waiting " + st.Waiting.Reason
	case st.Running != nil:
		return "running"
	case st.Terminated != nil:
		return fmt.Sprintf("terminated %s %d", st.Terminated.Reason, st.Terminated.ExitCode)
	}
	return "none"
}

func (l *test) wantEvent(want string) {
	l.Helper()
	if told := l.told(); !slices.Contains(told, want) {
		l.Errorf("event %q is missing among\n%q", want, told)
	}
}

func (l *test) condition(kind v1.PodConditionType) v1.PodCondition {
	for _, c := range l.life.Status().Conditions {
		if c.Type == kind {
			return c
		}
	}
	return v1.PodCondition{}
}

var errBroken = errors.New("broken")

// newPod is a pod of the named containers; those before "|" are init containers.
func newPod(policy v1.RestartPolicy, names ...string) *v1.Pod {
	grace := int64(30)
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "uid"},
		Spec:       v1.PodSpec{RestartPolicy: policy, TerminationGracePeriodSeconds: &grace},
	}
	if i := slices.Index(names, "|"); i >= 0 {
		for _, n := range names[:i] {
			p.Spec.InitContainers = append(p.Spec.InitContainers, v1.Container{Name: n, Image: "busybox"})
		}
		names = names[i+1:]
	}
	for _, n := range names {
		p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: n, Image: "busybox"})
	}
	return p
}
