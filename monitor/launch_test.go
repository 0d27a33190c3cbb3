package monitor

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A record is not stored between a removal's look for the users of images and its end.
func TestWriteRecordBesideARemoval(t *testing.T) {
	s := newStore(t)
	if err := os.MkdirAll(filepath.Join(s.ImageDir(), "references"), 0o700); err != nil {
		t.Fatal(err)
	}
	removal, err := os.Open(filepath.Join(s.ImageDir(), "references"))
	if err != nil {
		t.Fatal(err)
	}
	defer removal.Close()
	if err := unix.Flock(int(removal.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(os.NewSyscallError("flock", err))
	}
	done := make(chan error, 1)
	go func() { done <- writeRecord(s, newRecord(s)) }()
	select {
	case err := <-done:
		t.Fatalf("stored beside a removal of images: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	removal.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadRecord(uid); err != nil {
		t.Error(err)
	}
}
