package pod

import (
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

func withImage(p *v1.Pod, name, image string) *v1.Pod {
	p = p.DeepCopy()
	p.Generation++
	for _, list := range [][]v1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			if list[i].Name == name {
				list[i].Image = image
			}
		}
	}
	return p
}

// update changes the pod that lives.
func (l *test) update(p *v1.Pod) {
	l.pod = p
	l.life.Update(p)
	l.sleep(0)
}

func TestAnotherImageRestartsItsContainer(t *testing.T) {
	for _, policy := range []v1.RestartPolicy{v1.RestartPolicyAlways, v1.RestartPolicyNever} {
		bubble(t, newPod(policy, "setup", "|", "web", "db"), func(l *test) {
			l.begin(nil)
			l.exit("setup", Exit{})
			l.exit("web", Exit{})
			if policy == v1.RestartPolicyAlways {
				l.wantState("web", "running", 1)
			}
			l.sleep(time.Minute)
			l.took()
			l.update(withImage(withImage(l.pod, "db", "other"), "setup", "other"))
			l.wantLog("terminate db 0", "remove db 0", "image db 0", "create db 1", "start db 1")
			l.wantEvent("Normal Killing spec.containers{db} Container db definition changed, will be restarted")
			l.wantState("db", "running", 1)
			if got, want := l.status("db").Image, "docker.io/library/other"; got != want {
				t.Errorf("%s: got image %s, want %s", policy, got, want)
			}
			l.wantPhase(v1.PodRunning)
			if got := l.life.Status().ObservedGeneration; got != l.pod.Generation {
				t.Errorf("observed generation: got %d, want %d", got, l.pod.Generation)
			}
			// Told of the same again, it has nothing to do; and the next crash is the first.
			l.update(l.pod)
			l.took()
			l.exit("db", Exit{Code: 1})
			if policy == v1.RestartPolicyAlways {
				l.wantState("db", "running", 2)
			} else {
				l.wantState("db", "terminated Error 1", 1)
			}
		})
	}
}

// While the old one ends the pod is not ready, and it has not failed.
func TestAnotherImageOfOneThatEndsSlowly(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyNever, "web"), func(l *test) {
		l.deaf["web"] = true
		l.delay["create web"] = 5 * time.Second
		l.begin(nil)
		l.sleep(6 * time.Second)
		l.update(withImage(l.pod, "web", "other"))
		l.wantState("web", "running", 0)
		if l.status("web").Ready {
			t.Error("a container that is being replaced is ready")
		}
		l.sleep(30 * time.Second) // killed, and the next on its way
		l.wantState("web", "waiting ContainerCreating", 0)
		l.wantPhase(v1.PodRunning)
		l.sleep(5 * time.Second)
		l.wantState("web", "running", 1)
	})
}

func TestAnotherImageIsNotHeldBack(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web", "db"), func(l *test) {
		l.begin(nil)
		for range 3 {
			l.exit("web", Exit{Code: 1})
		}
		l.wantState("web", "waiting CrashLoopBackOff", 1)
		l.update(withImage(l.pod, "web", "other"))
		l.wantState("web", "running", 2)
		// The pull of an image that is not there.
		l.set(func() { l.always["image web"] = errBroken })
		l.update(withImage(l.pod, "web", "missing"))
		l.wantState("web", "waiting ErrImagePull", 2)
		l.set(func() { clear(l.always) })
		l.update(withImage(l.pod, "web", "third"))
		l.wantState("web", "running", 3)
	})
}

// A monitor that was killed after the change was recorded is followed by one that
// finds out by itself.
func TestAnotherImageAfterAKill(t *testing.T) {
	for _, when := range []string{"before it acted", "while the old one ends"} {
		bubble(t, newPod(v1.RestartPolicyNever, "web"), func(l *test) {
			l.deaf["web"] = true
			l.begin(nil)
			changed := withImage(l.pod, "web", "other")
			if when != "before it acted" {
				l.update(changed)
			}
			l.cancel()
			<-l.done
			last := l.lastSave()
			l.pod = changed
			l.begin(&last)
			l.sleep(31 * time.Second)
			l.wantState("web", "running", 1)
			if log := l.took(); !slices.Contains(log, "kill web 0") || log[len(log)-1] != "start web 1" {
				t.Errorf("%s: got %q", when, log)
			}
		})
	}
}

func TestSidecarsFollowTheirImage(t *testing.T) {
	p := newPod(v1.RestartPolicyNever, "side", "setup", "|", "web")
	p.Spec.InitContainers[0].RestartPolicy = ptr(v1.ContainerRestartPolicyAlways)
	bubble(t, p, func(l *test) {
		l.begin(nil)
		l.update(withImage(withImage(l.pod, "side", "other"), "setup", "other")) // the second is at work
		l.wantEvent("Normal Killing spec.initContainers{side} Init container side definition changed")
		l.wantState("side", "running", 1)
		l.wantState("setup", "running", 0)
	})
}

func TestActiveDeadlineIsShortened(t *testing.T) {
	p := newPod(v1.RestartPolicyAlways, "web")
	bubble(t, p, func(l *test) {
		l.begin(nil)
		l.sleep(20 * time.Second)
		changed := p.DeepCopy()
		changed.Spec.ActiveDeadlineSeconds = ptr(int64(30))
		l.update(changed)
		l.sleep(9 * time.Second)
		l.wantState("web", "running", 0)
		l.sleep(2 * time.Second)
		<-l.done
		if st := l.outcome.Status; st.Phase != v1.PodFailed || st.Reason != deadlineExceeded {
			t.Errorf("got %s %s, want the deadline to have passed", st.Phase, st.Reason)
		}
	})
}
