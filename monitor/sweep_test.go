package monitor

import (
	"context"
	"os"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"testing"

	"podrun/state"
)

func TestSweep(t *testing.T) {
	s := newStore(t)
	keepRun := func(uid string) *os.File {
		t.Helper()
		lock, err := keepNew(s, uid)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { lock.Close() })
		return lock
	}
	keepRun("killed").Close()
	keepRun("starting")
	keepRun("named").Close()
	if err := s.Claim("default", "web", "named"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(s.Root, "names", "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{s.ClaimDir("empty"), filepath.Join(s.ClaimDir("default"), "data")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sweep(s); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		s.RunDir("killed"): false, s.RunDir("starting"): true, s.RunDir("named"): true,
		filepath.Join(s.Root, "names", "empty"): false, filepath.Join(s.Root, "names", "default"): true,
		s.ClaimDir("empty"): false, filepath.Join(s.ClaimDir("default"), "data"): true,
	} {
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("%s: got %v, want it to stay: %v", path, err, want)
		}
	}
}

// A launch goes on beside Sweeps that take its directory for an abandoned one.
func TestKeepNewBesideSweep(t *testing.T) {
	s := newStore(t)
	var sweeps atomic.Int64
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := Sweep(s); err != nil {
					t.Error(err)
				}
				sweeps.Add(1)
			}
		})
	}
	for range 300 {
		lock, err := keepNew(s, "new")
		if err != nil {
			t.Fatal(err)
		}
		for before := sweeps.Load(); sweeps.Load() < before+8; {
			goruntime.Gosched() // those that were under way come to their end
		}
		if held, err := state.Locked(lockPath(s, "new")); err != nil || !held {
			t.Fatalf("the lock is of a directory that is gone (%v)", err)
		}
		lock.Close()
	}
}
