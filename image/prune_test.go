package image

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pruneStore has a used, a named and a nameless image, a layer and a blob of
// nobody, and the remains of a pull that was killed.
func pruneStore(t *testing.T) (s *Store, used, named, nameless *Image) {
	t.Helper()
	s = newStore(t)
	used = importImage(t, s, "used:1", nil, file{name: "used", body: strings.Repeat("u", 100)})
	named = importImage(t, s, "named:1", nil, file{name: "named", body: strings.Repeat("n", 20_000)})
	nameless = importImage(t, s, "nameless:1", nil, file{name: "nameless", body: strings.Repeat("x", 30_000)})
	importImage(t, s, "nameless:1", nil, file{name: "other"})
	lost := importImage(t, s, "lost:1", nil, file{name: "lost"})
	for _, name := range []string{"docker.io/library/lost:1", "docker.io/library/nameless:1"} {
		if err := os.Remove(s.path("references", recordName(name))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(s.path("references", idRecordName(lost.ID))); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(s.path("tmp/half/dir"), 0o700), os.WriteFile(s.path("references", ".x.123"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	return s, used, named, nameless
}

func TestPrune(t *testing.T) {
	for _, all := range []bool{false, true} {
		s, used, named, nameless := pruneStore(t)
		users := func() (map[string]string, error) { return map[string]string{used.ID: "default/web"}, nil }
		freed, gone, err := s.Prune(t.Context(), all, users)
		if err != nil {
			t.Fatal(err)
		}
		want, images := []string{nameless.ID}, 2 // nameless, and what took its name and lost it
		if all {
			want, images = append(want, named.Reference), 3
		}
		for _, name := range want {
			if !slices.Contains(gone, name) {
				t.Errorf("all %v: gone %v, want %s among them", all, gone, name)
			}
		}
		if freed.Images != images || freed.Layers != images+1 || freed.Unfinished != 2 || freed.Blobs != 2*images+2 || freed.Bytes < 30_000 {
			t.Errorf("all %v: freed %+v", all, freed)
		}
		if _, err := s.Get("named:1"); errors.Is(err, ErrNotFound) != all {
			t.Errorf("all %v: named: %v", all, err)
		}
		wantFile(t, filepath.Join(used.Layers[0], "used"), strings.Repeat("u", 100))
		if r, err := s.Check(t.Context(), users); err != nil || len(r.Problems) > 0 {
			t.Errorf("check: %v\n%s", err, problems(r))
		}
		wantNoOrphans(t, s)
		wantTidy(t, s)
		if freed, gone, err := s.Prune(t.Context(), all, users); freed != (Freed{}) || gone != nil || err != nil {
			t.Errorf("again: %+v %v %v", freed, gone, err)
		}
	}
}

// TestPruneBesideWriter: while somebody pulls nothing goes, not even what the pull
// has not named yet.
func TestPruneBesideWriter(t *testing.T) {
	s, _, _, _ := pruneStore(t)
	lock, err := openLock(s.path("lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := tryLock(lock, unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadDir(s.path("layers"))
	defer func(d time.Duration) { pruneWait = d }(pruneWait)
	pruneWait = 50 * time.Millisecond
	if _, _, err := s.Prune(t.Context(), true, noUsers); err == nil || !strings.Contains(err.Error(), "nothing was removed, try again") {
		t.Errorf("prune = %v, want it to give up", err)
	}
	if after, _ := os.ReadDir(s.path("layers")); len(after) != len(before) {
		t.Errorf("%d entries of layers, and before %d", len(after), len(before))
	}
}

// TestPruneUnknown: while it is not known what a pod or a record names, nothing goes.
func TestPruneUnknown(t *testing.T) {
	s, used, _, _ := pruneStore(t)
	if err := os.Truncate(s.path("references", recordName(used.Reference)), 5); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.path("references", idRecordName(used.ID)), 5); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Prune(t.Context(), true, noUsers); err == nil || !strings.Contains(err.Error(), "podrun image check --repair") {
		t.Errorf("damaged record: %v", err)
	}
	// A pull beside it goes on, and collects nothing either.
	if err := s.Remove(t.Context(), "named:1", nil); err != nil {
		t.Error(err)
	}
	importImage(t, s, "more:1", nil, file{name: "more"})
	if err := errors.Join(os.Remove(s.path("references", recordName(used.Reference))), os.Remove(s.path("references", idRecordName(used.ID)))); err != nil {
		t.Fatal(err)
	}
	users := func() (map[string]string, error) { return map[string]string{used.ID: "default/web"}, nil }
	if _, _, err := s.Prune(t.Context(), true, users); err == nil || !strings.Contains(err.Error(), "pod default/web uses image") {
		t.Errorf("record of a used image: %v", err)
	}
	wantFile(t, filepath.Join(used.Layers[0], "used"), strings.Repeat("u", 100))
	if r, err := s.Repair(t.Context(), users, PullOptions{}); err != nil || !r.Whole() {
		t.Errorf("repair: %v\n%s", err, problems(r))
	}
	if img, err := s.Get(used.ID); err != nil || img.Size != 100 || img.Manifest != used.Manifest {
		t.Errorf("the record that was written again: %+v, %v", img, err)
	}
}

// TestHold: a pod is stored before a removal looks for users, or after it is through.
func TestHold(t *testing.T) {
	s, used, named, _ := pruneStore(t)
	for what, remove := range map[string]func(asked func()) error{
		"rm": func(asked func()) error {
			return s.Remove(t.Context(), "used:1", func(string) (string, error) {
				asked()
				return "default/web", nil
			})
		},
		"prune": func(asked func()) error {
			_, _, err := s.Prune(t.Context(), true, func() (map[string]string, error) {
				asked()
				return map[string]string{used.ID: "default/web", named.ID: "default/db"}, nil
			})
			return err
		},
	} {
		release, err := s.Hold()
		if err != nil {
			t.Fatal(err)
		}
		another, err := s.Hold() // who holds images does not wait for others who do
		if err != nil {
			t.Fatal(err)
		}
		another()
		asked, done := make(chan struct{}), make(chan error, 1)
		go func() { done <- remove(func() { close(asked) }) }()
		select {
		case <-asked:
			t.Errorf("%s looked for users while one was being stored", what)
		case err := <-done:
			t.Errorf("%s: got %v", what, err)
		case <-time.After(50 * time.Millisecond):
		}
		release()
		if err := <-done; (err == nil) != (what == "prune") {
			t.Errorf("%s: got %v", what, err)
		}
	}
	wantFile(t, filepath.Join(used.Layers[0], "used"), strings.Repeat("u", 100))
	if release, err := newStore(t).Hold(); err != nil {
		t.Errorf("a store without an image: %v", err)
	} else {
		release()
	}
}
