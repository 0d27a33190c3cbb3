package monitor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"podrun/pod"
	"podrun/state"
)

var ref = state.Ref{Namespace: "default", Name: "web", UID: uid}

func newRecord(s *state.Store) *state.Record {
	return &state.Record{
		LogDir: s.LogDir, Subnet: "10.233.0.0/16", LinkPrefix: "pmt", Created: time.Unix(1700000000, 0),
		Pod: &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name, UID: types.UID(uid)}},
	}
}

func TestLostAndDoomed(t *testing.T) {
	record := &state.Record{}
	ending := Status{Checkpoint: pod.Checkpoint{Stop: &pod.Stop{}}}
	for _, test := range []struct {
		name         string
		found        Found
		lost, doomed bool
	}{
		{"it runs", Found{Record: record, Kept: true}, false, false},
		{"it is being made", Found{Kept: true}, false, false},
		{"it is being stopped", Found{Record: record, Kept: true, Status: ending}, false, false},
		{"all that kept it is gone", Found{Record: record}, true, false},
		{"it came to its end", Found{Record: record, Status: Status{Ended: true}}, false, false},
		{"its stop was interrupted", Found{Record: record, Status: ending}, false, true},
		{"its removal was interrupted", Found{Record: record, Status: Status{NotMade: "no image"}}, false, true},
		{"it was half made or half removed", Found{}, false, true},
	} {
		if got := test.found.Lost(); got != test.lost {
			t.Errorf("%s: got lost %v, want %v", test.name, got, test.lost)
		}
		if got := test.found.Doomed(); got != test.doomed {
			t.Errorf("%s: got doomed %v, want %v", test.name, got, test.doomed)
		}
	}
}

// running is a pod's status while its container runs and is ready.
func running() Status {
	yes := true
	return Status{Checkpoint: pod.Checkpoint{EverStarted: true, Status: v1.PodStatus{
		Phase:                 v1.PodRunning,
		InitContainerStatuses: []v1.ContainerStatus{{Name: "i", State: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: "Completed"}}}},
		ContainerStatuses: []v1.ContainerStatus{
			{Name: "a", Ready: true, Started: &yes, RestartCount: 2, State: v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: metav1.Unix(1700000000, 0)}}},
			{Name: "b", State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}},
		},
		Conditions: []v1.PodCondition{
			{Type: v1.PodInitialized, Status: v1.ConditionTrue},
			{Type: v1.ContainersReady, Status: v1.ConditionTrue},
			{Type: v1.PodReady, Status: v1.ConditionTrue},
		},
	}}}
}

// What is recorded as running, and does not run, must not be shown as running.
func TestFindTellsTheTruth(t *testing.T) {
	for _, test := range []struct {
		name          string
		kept, ended   bool
		wantCorrected bool
	}{
		{"somebody keeps it", true, false, false},
		{"nobody keeps it", false, false, true},
		{"it came to its end", false, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(t)
			if err := s.WriteRecord(newRecord(s)); err != nil {
				t.Fatal(err)
			}
			status := running()
			status.Ended = test.ended
			if err := s.WriteStatus(uid, status, state.Volatile); err != nil {
				t.Fatal(err)
			}
			if test.kept {
				hold(t, s)
			}
			f, err := Find(s, ref)
			if err != nil {
				t.Fatal(err)
			}
			got := f.Status.Status
			a := got.ContainerStatuses[0]
			if corrected := a.State.Terminated != nil; corrected != test.wantCorrected || f.Kept != test.kept {
				t.Fatalf("got corrected %v and kept %v, want %v and %v", corrected, f.Kept, test.wantCorrected, test.kept)
			}
			if !test.wantCorrected {
				return
			}
			if end := a.State.Terminated; end.Reason != "ContainerStatusUnknown" || end.ExitCode != 137 || end.StartedAt.Unix() != 1700000000 {
				t.Errorf("got %+v, want an unknown end of what had started then", end)
			}
			if a.Ready || a.Started == nil || *a.Started || a.State.Running != nil {
				t.Errorf("got %+v, want neither ready nor started", a)
			}
			if b := got.ContainerStatuses[1]; b.State.Waiting == nil {
				t.Errorf("got %+v, want b to wait as before", b)
			}
			for _, c := range got.Conditions {
				if want := c.Type == v1.PodInitialized; (c.Status == v1.ConditionTrue) != want {
					t.Errorf("got condition %s %s", c.Type, c.Status)
				}
			}
		})
	}
}

func TestFindHalfMadePods(t *testing.T) {
	s := newStore(t)
	if _, err := FindByName(s, ref.Namespace, ref.Name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such pod: got %v, want os.ErrNotExist", err)
	}
	if err := s.Claim(ref.Namespace, ref.Name, uid); err != nil {
		t.Fatal(err)
	}
	f, err := FindByName(s, ref.Namespace, ref.Name)
	if err != nil || !f.Doomed() {
		t.Fatalf("only a name: got %+v, %v", f, err)
	}
	if p := f.Pod(); p.Name != "web" || p.Namespace != "default" || p.Status.Phase != v1.PodPending || p.Kind != "Pod" {
		t.Errorf("only a name: got pod %+v", p)
	}
	if err := s.WriteRecord(newRecord(s)); err != nil {
		t.Fatal(err)
	}
	if f, err = FindByName(s, ref.Namespace, ref.Name); err != nil || !f.Lost() {
		t.Fatalf("a record and no status: got %+v, %v", f, err)
	}
	if p := f.Pod(); p.Status.Phase != v1.PodPending || p.CreationTimestamp.Unix() != 1700000000 || p.DeletionTimestamp != nil {
		t.Errorf("a record and no status: got pod %+v", p)
	}
	if err := s.WriteStatus(uid, Status{NotMade: "no image"}, state.Volatile); err != nil {
		t.Fatal(err)
	}
	if f, err = FindByName(s, ref.Namespace, ref.Name); err != nil || f.Pod().DeletionTimestamp == nil {
		t.Errorf("not made: got %+v, %v, want it to be on its way out", f, err)
	}
	if err := os.WriteFile(filepath.Join(s.PodDir(uid), "status.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err = FindByName(s, ref.Namespace, ref.Name); err != nil || f.Damage == nil || !f.Lost() {
		t.Errorf("a status that a power cut has emptied: got %+v, %v, want a lost pod and the damage", f, err)
	}
	if err := s.WriteStatus(uid, Status{Version: state.Version + 1, Ended: true}, state.Volatile); err != nil {
		t.Fatal(err)
	}
	if _, err = FindByName(s, ref.Namespace, ref.Name); !errors.Is(err, state.ErrNewer) {
		t.Errorf("a status of a later version: got %v, want %v", err, state.ErrNewer)
	}
}
