package audit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"podrun/monitor"
	"podrun/state"
)

func newStore(t *testing.T) *state.Store {
	t.Helper()
	dir := t.TempDir()
	s, err := state.Open(state.Config{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A pod that somebody has started again since it was found to have ended, and that
// nobody keeps, is left as it is.
func TestRemoveEndedBesideARestart(t *testing.T) {
	s, r := newStore(t), record("web")
	if err := errors.Join(s.Claim("default", "web", r.UID()), s.WriteRecord(r), s.WriteStatus(r.UID(), monitor.Status{}, state.Volatile)); err != nil {
		t.Fatal(err)
	}
	gone, err := Auditor{Store: s, Host: host}.RemoveEnded(ref("web"))
	if gone || err != nil {
		t.Errorf("got %v, %v", gone, err)
	}
	if _, err := s.ReadRecord(r.UID()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(s.RunDir(r.UID())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a run directory was left: %v", err)
	}
}
