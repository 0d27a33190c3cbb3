package monitor

import (
	"os"
	"path/filepath"
	"testing"

	v1 "k8s.io/api/core/v1"

	"podrun/state"
)

func TestOverlaps(t *testing.T) {
	for _, test := range []struct {
		why, dir, path string
		want           bool
	}{
		{"above", "/mnt", "/mnt/disk/root", true},
		{"itself", "/mnt", "/mnt", true},
		{"below", "/mnt", "/", true},
		{"beside", "/mnt", "/mnt2/root", false},
		{"elsewhere", "/srv", "/var/lib/podrun", false},
	} {
		if got := overlaps(test.dir, []string{"/run", test.path}); got != test.want {
			t.Errorf("%s: %s and %s: got %v", test.why, test.dir, test.path, got)
		}
	}
}

// TestReserveUsersAgain: the next sandbox has the ids of the last one, unless
// another pod has taken them.
func TestReserveUsersAgain(t *testing.T) {
	s := &state.Store{}
	s.Root = t.TempDir()
	own := false
	r := &state.Record{Pod: &v1.Pod{Spec: v1.PodSpec{HostUsers: &own}}}
	r.Pod.UID = "u"
	fine(t, os.MkdirAll(s.PodDir("u"), 0o700))
	first, err := reserveUsers(s, r)
	fine(t, err)
	other, err := reserveUsers(s, r)
	fine(t, err)
	if other.First == first.First {
		t.Errorf("two have %d", first.First)
	}
	fine(t, first.Close())
	fine(t, other.Close())
	again, err := reserveUsers(s, r)
	fine(t, err)
	defer again.Close()
	if again.First != other.First {
		t.Errorf("after the last sandbox with %d: got %d", other.First, again.First)
	}
	fine(t, os.WriteFile(filepath.Join(s.PodDir("u"), "users"), []byte("rubbish"), 0o600))
	fresh, err := reserveUsers(s, r)
	fine(t, err)
	defer fresh.Close()
	if fresh.First == again.First {
		t.Errorf("two have %d", again.First)
	}
	if u, err := reserveUsers(s, &state.Record{Pod: &v1.Pod{}}); u != nil || err != nil {
		t.Errorf("a pod with the machine's users: got %v, %v", u, err)
	}
}

func fine(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
