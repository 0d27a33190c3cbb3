package pod

import (
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// limitedPod is a pod of two containers, of which the second restarts for its memory.
func limitedPod(policy v1.RestartPolicy) *v1.Pod {
	p := newPod(policy, "web", "db")
	for i := range p.Spec.Containers {
		p.Spec.Containers[i].Resources = v1.ResourceRequirements{Requests: amounts("100m", "64Mi"), Limits: amounts("200m", "64Mi")}
	}
	p.Spec.Containers[1].ResizePolicy = []v1.ContainerResizePolicy{{ResourceName: v1.ResourceMemory, RestartPolicy: v1.RestartContainer}, {ResourceName: v1.ResourceCPU, RestartPolicy: v1.NotRequired}}
	return p
}

func withLimits(p *v1.Pod, i int, limits v1.ResourceList) *v1.Pod {
	p = p.DeepCopy()
	p.Generation++
	p.Spec.Containers[i].Resources.Limits = limits
	return p
}

func (l *test) limit(name string, resource v1.ResourceName) string {
	q := l.status(name).Resources.Limits[resource]
	return q.String()
}

func TestResize(t *testing.T) {
	bubble(t, limitedPod(v1.RestartPolicyAlways), func(l *test) {
		l.delay["resize db+web"] = time.Second
		l.begin(nil)
		l.took()
		l.update(withLimits(l.pod, 0, amounts("400m", "128Mi")))
		if got := l.limit("web", v1.ResourceMemory); got != "64Mi" {
			t.Errorf("on the way: got %s in force, want 64Mi", got)
		}
		if c := l.condition(v1.PodResizeInProgress); c.Status != v1.ConditionTrue || c.Reason != "" || c.ObservedGeneration != l.pod.Generation {
			t.Errorf("got condition %+v", c)
		}
		l.sleep(2 * time.Second)
		l.wantLog("resize db+web 0")
		if got := l.limit("web", v1.ResourceMemory); got != "128Mi" {
			t.Errorf("got %s in force, want 128Mi", got)
		}
		if c := l.condition(v1.PodResizeInProgress); c.Type != "" {
			t.Errorf("the condition stays: %+v", c)
		}
		l.wantState("web", "running", 0)
		if told := l.told(); !slices.ContainsFunc(told, func(e string) bool {
			return strings.HasPrefix(e, `Normal ResizeCompleted  Pod resize completed: {"containers":[{"name":"web","resources":{"limits":{"cpu":"400m","memory":"128Mi"}`)
		}) {
			t.Errorf("no event of the completion: %q", told)
		}
	})
}

// The container that has to restart ends first; then the pod gets its room, and
// then it starts. Its cpu alone would need no restart.
func TestResizeThatRestarts(t *testing.T) {
	bubble(t, limitedPod(v1.RestartPolicyNever), func(l *test) {
		l.begin(nil)
		l.took()
		l.update(withLimits(l.pod, 1, amounts("400m", "64Mi")))
		l.wantLog("resize db+web 0")
		l.update(withLimits(l.pod, 1, amounts("400m", "128Mi")))
		l.sleep(0)
		log := l.took()
		want := []string{"terminate db 0", "remove db 0", "resize web 0", "image db 0", "create db 1", "start db 1"}
		slices.Sort(log[1 : len(log)-3]) // the removal and the resize are at once
		slices.Sort(want[1 : len(want)-3])
		if !slices.Equal(log, want) {
			t.Errorf("got %q, want %q", log, want)
		}
		l.wantEvent("Normal Killing spec.containers{db} Container db resize requires restart")
		l.wantState("db", "running", 1)
		l.wantState("web", "running", 0)
		l.wantPhase(v1.PodRunning)
	})
}

func TestResizeThatFails(t *testing.T) {
	bubble(t, limitedPod(v1.RestartPolicyAlways), func(l *test) {
		l.always["resize db+web"] = errBroken
		l.begin(nil)
		l.took()
		l.update(withLimits(l.pod, 0, amounts("100m", "64Mi")))
		if c := l.condition(v1.PodResizeInProgress); c.Reason != v1.PodReasonError || c.Message != "broken" {
			t.Errorf("got condition %+v, want the error", c)
		}
		l.sleep(retryPeriod + time.Second)
		l.wantLog("resize db+web 0", "resize db+web 0")
		// It hinders no restart, and another change is tried at once.
		l.exit("web", Exit{Code: 1})
		l.wantState("web", "running", 1)
		l.set(func() { clear(l.always) })
		l.took()
		l.update(withLimits(l.pod, 1, amounts("300m", "64Mi")))
		l.wantLog("resize db+web 0")
		if c := l.condition(v1.PodResizeInProgress); c.Type != "" {
			t.Errorf("the condition stays: %+v", c)
		}
	})
}

// What is given back before it came into force leaves nothing half done.
func TestResizeThatIsGivenBack(t *testing.T) {
	bubble(t, limitedPod(v1.RestartPolicyAlways), func(l *test) {
		l.always["resize db+web"] = errBroken
		l.begin(nil)
		l.took()
		first := l.pod
		l.update(withLimits(l.pod, 0, amounts("100m", "64Mi")))
		l.set(func() { clear(l.always) })
		again := first.DeepCopy()
		again.Generation = 3
		l.update(again)
		l.wantLog("resize db+web 0", "resize db+web 0")
		if c := l.condition(v1.PodResizeInProgress); c.Type != "" {
			t.Errorf("the condition stays: %+v", c)
		}
		l.sleep(time.Minute)
		l.wantLog()
	})
}

// A pod that waits gets its room before its containers are made.
func TestResizeOfWhatWaits(t *testing.T) {
	bubble(t, limitedPod(v1.RestartPolicyAlways), func(l *test) {
		l.always["create web"] = &Failure{Reason: "CreateContainerConfigError", Err: errBroken, Waits: true}
		l.always["create db"] = l.always["create web"]
		l.begin(nil)
		l.set(func() { clear(l.always) })
		l.took()
		l.update(withLimits(l.pod, 0, amounts("1", "1Gi")))
		l.life.Retry()
		l.sleep(0)
		log := l.took()
		if i, j := slices.Index(log, "resize  0"), slices.Index(log, "create web 0"); i < 0 || j < i {
			t.Errorf("got %q, want the room before the container", log)
		}
		l.wantState("web", "running", 0)
		if got := l.limit("web", v1.ResourceMemory); got != "1Gi" {
			t.Errorf("got %s in force, want 1Gi", got)
		}
	})
}

func TestResizeAfterAKill(t *testing.T) {
	bubble(t, limitedPod(v1.RestartPolicyAlways), func(l *test) {
		l.begin(nil)
		l.cancel()
		<-l.done
		last := l.lastSave()
		l.pod = withLimits(l.pod, 0, amounts("400m", "128Mi"))
		l.pod.Spec.Resources = &v1.ResourceRequirements{Limits: amounts("1", "")}
		l.took()
		l.begin(&last)
		l.wantLog("resize db+web 0")
		if got := l.limit("web", v1.ResourceMemory); got != "128Mi" {
			t.Errorf("got %s in force, want 128Mi", got)
		}
		// And once only.
		l.cancel()
		<-l.done
		last = l.lastSave()
		l.begin(&last)
		l.wantLog()
	})
}
