package monitor

import (
	"os"
	"path/filepath"
	"testing"
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
	if err := Sweep(s); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		s.RunDir("killed"): false, s.RunDir("starting"): true, s.RunDir("named"): true,
		filepath.Join(s.Root, "names", "empty"): false, filepath.Join(s.Root, "names", "default"): true,
	} {
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("%s: got %v, want it to stay: %v", path, err, want)
		}
	}
}

// A launch goes on beside a Sweep that takes its directory for an abandoned one.
func TestKeepNewBesideSweep(t *testing.T) {
	s := newStore(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if err := Sweep(s); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for range 300 {
		lock, err := keepNew(s, "new")
		if err != nil {
			t.Fatal(err)
		}
		if !isAt(lock, lockPath(s, "new")) {
			t.Fatal("the lock is of a directory that is gone")
		}
		lock.Close()
	}
	close(stop)
	<-stopped
}
