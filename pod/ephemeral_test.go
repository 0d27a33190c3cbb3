package pod

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
)

// look adds an ephemeral container.
func (l *test) look(name string) {
	p := l.pod.DeepCopy()
	p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers,
		v1.EphemeralContainer{EphemeralContainerCommon: v1.EphemeralContainerCommon{Name: name, Image: name}})
	l.pod = p
	l.life.Update(p)
	synctest.Wait()
}

func TestEphemeralContainers(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "i", "|", "web"), func(l *test) {
		l.begin(nil)
		l.took()
		// It does not wait for an init container, is started once, and nobody waits for it.
		l.look("look")
		l.wantLog("image look 0", "create look 0", "start look 0")
		l.wantState("i", "running", 0)
		l.exit("look", Exit{Code: 3})
		l.wantLog("remove look 0")
		l.wantState("look", "terminated Error 3", 0)
		l.exit("i", Exit{})
		l.wantState("web", "running", 0)
		l.wantPhase(v1.PodRunning)
		if cs := l.status("look"); cs.Ready || cs.Started != nil {
			t.Errorf("got %+v, want neither ready nor started", cs)
		}
		// One that cannot be made is tried again, and the pod goes on.
		l.took()
		l.set(func() { l.fail["image broken"] = errors.New("no such image") })
		l.look("broken")
		l.wantState("broken", "waiting ErrImagePull", 0)
		l.sleep(time.Minute)
		l.wantState("broken", "running", 0)
		// It ends with the pod.
		l.life.Stop(ptr(int64(5)))
		l.wait()
		l.wantState("broken", "terminated Error 143", 0)
	})
}

// A pod whose containers have all finished does not wait for one that looks into it.
func TestEphemeralContainerOfAFinishedPod(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyNever, "|", "job"), func(l *test) {
		l.begin(nil)
		l.look("look")
		l.exit("job", Exit{})
		if o, err := l.wait(); err != nil || o.Status.Phase != v1.PodSucceeded {
			t.Errorf("got %v, %v", o.Status.Phase, err)
		}
		l.wantState("look", "terminated Error 143", 0)
	})
}
