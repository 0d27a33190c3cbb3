package pod

import (
	"errors"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// A pod of which nothing has started waits for what is missing; the containers
// that need nothing of it start.
func TestWaitsForWhatIsMissing(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web", "db"), func(l *test) {
		l.always["create web"] = &Failure{Reason: "CreateContainerConfigError", Err: errors.New(`configmap "c" not found`), Waits: true}
		l.begin(nil)
		l.wantState("web", "waiting CreateContainerConfigError", 0)
		if got, want := l.status("web").State.Waiting.Message, `configmap "c" not found`; got != want {
			t.Errorf("message: got %q, want %q", got, want)
		}
		l.wantState("db", "running", 0)
		l.wantPhase(v1.PodPending)
		l.wantEvent(`Warning Failed spec.containers{web} Error: configmap "c" not found`)
		// Nobody tells: it looks for itself, but not often.
		l.set(func() { delete(l.always, "create web") })
		l.sleep(retryPeriod - time.Second)
		l.wantState("web", "waiting CreateContainerConfigError", 0)
		l.sleep(time.Second)
		l.wantState("web", "running", 0)
		l.wantPhase(v1.PodRunning)
	})
}

// A volume is told of once, and every container waits for it. Retry ends the wait.
func TestWaitsForVolumes(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web", "db"), func(l *test) {
		failure := &Failure{Reason: containerCreating, Waits: true, Err: errors.New(
			"MountVolume.SetUp failed for volume \"v\" : x\nMountVolume.SetUp failed for volume \"w\" : y")}
		l.always["create web"], l.always["create db"] = failure, failure
		l.begin(nil)
		for _, name := range []string{"web", "db"} {
			if got := l.status(name).State.Waiting; got == nil || *got != (v1.ContainerStateWaiting{Reason: containerCreating}) {
				t.Errorf("%s: got %+v, want it to wait for no reason of its own", name, got)
			}
		}
		if got := l.condition(v1.PodReadyToStartContainers).Status; got != v1.ConditionFalse {
			t.Errorf("PodReadyToStartContainers without volumes: got %s", got)
		}
		told := 0
		for _, e := range l.told() {
			if strings.HasPrefix(e, "Warning FailedMount  MountVolume.SetUp failed for volume") {
				told++
			}
		}
		if told != 2 {
			t.Errorf("got %d events for two volumes of two containers: %q", told, l.told())
		}
		l.set(func() { clear(l.always) })
		l.life.Retry()
		l.sleep(0)
		l.wantState("web", "running", 0)
		l.wantState("db", "running", 0)
		if got := l.condition(v1.PodReadyToStartContainers).Status; got != v1.ConditionTrue {
			t.Errorf("PodReadyToStartContainers with them: got %s", got)
		}
	})
}

// A new monitor goes on waiting, and a Retry of its own finds what was brought.
func TestWaitsOnAfterAKill(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
		l.always["create web"] = &Failure{Reason: "CreateContainerConfigError", Err: errBroken, Waits: true}
		l.begin(nil)
		l.cancel()
		<-l.done
		last := l.lastSave()
		l.begin(&last)
		l.wantState("web", "waiting CreateContainerConfigError", 0)
		l.set(func() { clear(l.always) })
		l.life.Retry()
		l.sleep(0)
		l.wantState("web", "running", 0)
	})
}

// A change of the pod may be what a container waits for: a label that is part of a path.
func TestChangeEndsTheWait(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
		l.always["create web"] = &Failure{Reason: "CreateContainerConfigError", Err: errors.New("missing value for A"), Waits: true}
		l.begin(nil)
		l.wantState("web", "waiting CreateContainerConfigError", 0)
		l.set(func() { clear(l.always) })
		p := l.pod.DeepCopy()
		p.Labels = map[string]string{"a": "b"}
		l.update(p)
		l.wantState("web", "running", 0)
	})
}
