package state

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	assertLocked(t, path, false) // there is no file
	first, err := TryLock(path)
	must(t, err)
	assertLocked(t, path, true)
	if _, err := TryLock(path); !errors.Is(err, ErrLocked) {
		t.Errorf("a second lock, from the same process: got %v, want ErrLocked", err)
	}
	// Reading and closing the file gives the lock up where it is a POSIX one.
	if _, err := os.ReadFile(path); err != nil {
		t.Error(err)
	}
	assertLocked(t, path, true)
	must(t, first.Close())
	assertLocked(t, path, false)
	again, err := TryLock(path)
	must(t, err)
	must(t, again.Close())
}

// Every copy counts, whichever process has it: so pause keeps a pod's lock.
func TestLockLivesInAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := TryLock(path)
	must(t, err)
	child := self("hold")
	child.ExtraFiles = []*os.File{lock}
	stdin, err := child.StdinPipe()
	must(t, err)
	must(t, child.Start())
	must(t, lock.Close())
	assertLocked(t, path, true)
	if _, err := TryLock(path); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}

	held, err := OpenHeld(path)
	must(t, err)
	must(t, os.Remove(path)) // a holder may remove the file before it lets go
	waited := make(chan error)
	go func() { waited <- held.Wait() }()
	select {
	case err := <-waited:
		t.Errorf("the wait is over while the lock is held: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	must(t, stdin.Close())
	must(t, child.Wait())
	select {
	case err := <-waited:
		must(t, err)
	case <-time.After(5 * time.Second):
		t.Fatal("the wait goes on after the end of the holder")
	}
	must(t, held.Close()) // may be called again
}

func TestLockFileWaitsForItsTurn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := LockFile(path)
	must(t, err)
	second := make(chan *os.File)
	go func() {
		f, err := LockFile(path)
		if err != nil {
			t.Error(err)
		}
		second <- f
	}()
	select {
	case <-second:
		t.Error("two have the lock")
	case <-time.After(50 * time.Millisecond):
	}
	must(t, first.Close())
	must(t, (<-second).Close())
}

func TestHeldWithoutFile(t *testing.T) {
	held, err := OpenHeld(filepath.Join(t.TempDir(), "none"))
	must(t, err)
	must(t, held.Wait())
	must(t, held.Close())
}

func TestLockErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none", "lock")
	tests := []struct {
		why string
		do  func() error
	}{
		{"TryLock in no directory", func() error { _, err := TryLock(missing); return err }},
		{"LockFile in no directory", func() error { _, err := LockFile(missing); return err }},
		{"OpenHeld of a directory", func() error { _, err := OpenHeld(t.TempDir()); return err }},
		{"Locked below a file", func() error { _, err := Locked("/proc/self/stat/lock"); return err }},
	}
	for _, test := range tests {
		err := test.do()
		if path := (*os.PathError)(nil); !errors.As(err, &path) {
			t.Errorf("%s: got %v, want a *os.PathError", test.why, err)
		}
	}
}

func assertLocked(t *testing.T, path string, want bool) {
	t.Helper()
	got, err := Locked(path)
	if err != nil || got != want {
		t.Errorf("Locked: got %v (%v), want %v", got, err, want)
	}
}
