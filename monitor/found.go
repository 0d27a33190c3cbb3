package monitor

import (
	"errors"
	"fmt"
	"os"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"podrun/runtime"
	"podrun/state"
)

// Found is a pod as it is, whether anybody keeps it or not.
type Found struct {
	state.Ref
	Record *state.Record // nil: half made or half removed
	Status Status
	Kept   bool // pause or monitor live
	// Damage is why the status cannot be read; then it is empty.
	Damage error
}

// Find looks at one pod. It asks nobody and waits for nobody.
func Find(s *state.Store, ref state.Ref) (*Found, error) {
	f := &Found{Ref: ref}
	var err error
	if f.Kept, err = state.Locked(lockPath(s, ref.UID)); err != nil {
		return nil, err
	}
	if f.Record, err = s.ReadRecord(ref.UID); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := s.ReadStatus(ref.UID, &f.Status); errors.Is(err, state.ErrNewer) {
		return nil, err
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		// As after a power cut on a file system that orders nothing. The record is
		// what counts: the pod begins anew.
		f.Status, f.Damage = Status{}, err
	}
	if !f.Kept && !f.Status.Ended {
		f.correct(s)
	}
	return f, nil
}

// Lost: the pod was running when everything that kept it went away.
func (f *Found) Lost() bool {
	return !f.Kept && f.Record != nil && !f.Status.Ended && !f.Status.Removing() && f.Status.NotMade == ""
}

// Doomed: the pod is on its way out, and nobody is at work on it.
func (f *Found) Doomed() bool {
	return !f.Kept && (f.Record == nil || f.Status.Removing() || f.Status.NotMade != "")
}

// correct makes the status of a pod that nobody keeps tell the truth: what is
// recorded as running and does not run has ended, nobody knows how.
func (f *Found) correct(s *state.Store) {
	st := &f.Status.Status
	if f.Record == nil && f.Status.EverStarted && !f.Status.Removing() {
		st.Reason, st.Message = "Unknown", "There is no record of the pod; 'podrun down' removes what is left"
	}
	if ended := st.Phase == v1.PodSucceeded || st.Phase == v1.PodFailed; f.Lost() && f.Status.Stop == nil && !ended {
		// As a pod whose node is lost: what still runs is not probed, logged or restarted.
		st.Reason, st.Message = "Unknown", "Nobody keeps the pod; 'podrun resume' starts it again"
	}
	gone := f.Lost()
	for _, list := range [][]v1.ContainerStatus{st.InitContainerStatuses, st.ContainerStatuses} {
		for i := range list {
			c := &list[i]
			if c.State.Running == nil {
				continue
			}
			if runs(s, f.UID, ID(c.Name, int(c.RestartCount))) {
				unkept := f.Lost() || f.Record == nil
				c.Ready, gone = c.Ready && !unkept, gone || unkept
				continue
			}
			end := lostEnd(otherBoot(s, &f.Status), "since nobody keeps the pod")
			end.StartedAt = c.State.Running.StartedAt
			c.State = v1.ContainerState{Terminated: &end}
			notStarted := false
			c.Ready, c.Started, gone = false, &notStarted, true
		}
	}
	if !gone {
		return
	}
	for i := range st.Conditions {
		c := &st.Conditions[i]
		reason, ends := map[v1.PodConditionType]string{
			v1.PodReady: "ContainersNotReady", v1.ContainersReady: "ContainersNotReady", v1.PodReadyToStartContainers: "",
		}[c.Type]
		if ends && c.Status == v1.ConditionTrue {
			c.Status, c.Reason, c.LastTransitionTime = v1.ConditionFalse, reason, metav1.NewTime(time.Now())
		}
	}
}

func runs(s *state.Store, uid, id string) bool {
	c, err := runtime.Load(StateDir(s, uid), id)
	if err != nil {
		return false
	}
	phase, err := c.Phase()
	return err == nil && phase != runtime.Gone
}

// Pod is the pod with its status, as the API shows it.
func (f *Found) Pod() *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: f.Namespace, Name: f.Name}}
	if f.Record != nil {
		p = f.Record.Pod.DeepCopy()
		p.CreationTimestamp = metav1.NewTime(f.Record.Created)
		p.Spec.NodeName = machineName()
	}
	p.TypeMeta = metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}
	p.Status = f.Status.Status
	if p.Status.Phase == "" {
		p.Status.Phase = v1.PodPending
	}
	if f.Status.Removing() || f.Status.NotMade != "" {
		at := metav1.Now()
		if f.Status.Removing() {
			at = metav1.NewTime(f.Status.Stop.Deadline.At)
			grace := int64(f.Status.Stop.Deadline.Length / time.Second)
			p.DeletionGracePeriodSeconds = &grace
		}
		p.DeletionTimestamp = &at
	}
	return p
}

// FindByName is Find for a name; the error is os.ErrNotExist where no pod has it.
func FindByName(s *state.Store, namespace, name string) (*Found, error) {
	uid, err := s.Lookup(namespace, name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("pod %s/%s: %w", namespace, name, os.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	return Find(s, state.Ref{Namespace: namespace, Name: name, UID: uid})
}

// Kept tells whether anybody has a pod's lock: its pause and monitor, or who makes
// or removes it.
func Kept(s *state.Store, uid string) (bool, error) { return state.Locked(lockPath(s, uid)) }

// Lock takes the lock of a pod that nobody keeps; else the error is state.ErrLocked.
func Lock(s *state.Store, uid string) (*os.File, error) { return keep(s, uid) }

// Keepers is held as long as pause or monitor of a pod lives. It is opened before
// they are asked to end: they remove its file, and take a moment more to be gone.
func Keepers(s *state.Store, uid string) (*state.Held, error) {
	return state.OpenHeld(lockPath(s, uid))
}
