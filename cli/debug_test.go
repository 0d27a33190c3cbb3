package cli

import (
	"strings"
	"testing"

	"podrun/state"
)

// The name of a pod is there before its record, and goes after it.
func TestDebugOfAPodWithoutARecord(t *testing.T) {
	s := newSession(t)
	store, err := state.Open(state.Config{Root: s.args[2], RunRoot: s.args[4], LogDir: s.args[6]})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Claim("default", "web", "uid-1"); err != nil {
		t.Fatal(err)
	}
	_, errs, code := s.run(nil, "debug", "web", "--image", "busybox")
	if want := "pod web is being made or removed"; code != exitFailure || !strings.Contains(errs, want) {
		t.Errorf("got %q and exit code %d, want %q", errs, code, want)
	}
}
