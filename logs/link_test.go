package logs

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLinksAreNoLogs: who may write to a directory of logs has neither files of the
// machine read nor written by that.
func TestLinksAreNoLogs(t *testing.T) {
	directory := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, Path(directory, 0)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Read(context.Background(), directory, ReadOptions{Tail: All}, &out); err == nil || out.Len() > 0 {
		t.Errorf("read a link: got %q, %v", out.String(), err)
	}
	position := newPosition(t)
	if w, err := NewWriter(Path(directory, 0), position, Options{}); err == nil {
		w.Close()
		t.Error("opened a link for writing")
	}
	if got, err := os.ReadFile(secret); err != nil || string(got) != "secret" {
		t.Errorf("the file behind the link: got %q, %v", got, err)
	}
	if err := unix.Mkfifo(Path(directory, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		done <- Read(context.Background(), directory, ReadOptions{Attempt: 1, Tail: All}, &out)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("a FIFO is waited for")
	}
}
