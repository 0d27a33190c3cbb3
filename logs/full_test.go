package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// mountSmall mounts a small tmpfs for the time of the test.
func mountSmall(t *testing.T, size string) string {
	t.Helper()
	directory := t.TempDir()
	if err := unix.Mount("tmpfs", directory, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mount tmpfs (this test needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(directory, 0); err != nil {
			t.Errorf("unmount tmpfs: %v", err)
		}
	})
	return directory
}

// TestFullDisk fills the disk under a log, and makes room: no line is lost or doubled.
func TestFullDisk(t *testing.T) {
	directory := mountSmall(t, "1m")
	path := Path(directory, 0)
	ballast := filepath.Join(directory, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 700<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	stalls := make(chan error, 10)
	w := newWriter(t, path, newPosition(t), Options{Stalled: func(err error) { stalls <- err }})
	var copies errgroup.Group
	var want [2]strings.Builder
	for i, stream := range []Stream{Stdout, Stderr} {
		write, p := newStream(t)
		copies.Go(func() error { return w.Copy(stream, p) })
		copies.Go(func() error {
			defer write.Close()
			for n := range 2000 {
				line := fmt.Sprintf("%s line %d %s", stream, n, strings.Repeat("x", 99))
				fmt.Fprintf(&want[i], "%s F %s\n", stream, line)
				if _, err := write.WriteString(line + "\n"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := <-stalls; !errors.Is(err, unix.ENOSPC) {
		t.Errorf("stall: got %v, want %v", err, unix.ENOSPC)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := copies.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := <-stalls; err != nil {
		t.Errorf("after the stall: got %v, want nil", err)
	}
	var got [2]strings.Builder
	for _, r := range records(t, path) {
		i := Stdout
		if strings.HasPrefix(r, "stderr") {
			i = Stderr
		}
		got[i].WriteString(r + "\n")
	}
	for i := range got {
		if got[i].String() != want[i].String() {
			t.Errorf("%s: got %d bytes, want %d; they differ", Stream(i), got[i].Len(), want[i].Len())
		}
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// TestCloseFull closes a log on a full disk: what it could not write stays in the pipes for another writer.
func TestCloseFull(t *testing.T) {
	directory := mountSmall(t, "64k")
	ballast := filepath.Join(directory, "ballast")
	os.WriteFile(ballast, make([]byte, 64<<10), 0o600)
	position := newPosition(t)
	stalled := make(chan error, 10)
	w := newWriter(t, Path(directory, 0), position, Options{Stalled: func(err error) { stalled <- err }})
	write, p := newStream(t)
	var copies errgroup.Group
	copies.Go(func() error { return w.Copy(Stdout, p) })
	write.WriteString("a\n")
	<-stalled
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := copies.Wait(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("copy: got %v, want %v", err, os.ErrClosed)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	write.Close()
	w = newWriter(t, Path(directory, 0), position, Options{})
	if err := w.Copy(Stdout, p); err != nil {
		t.Fatal(err)
	}
	if got, want := records(t, Path(directory, 0)), "[stdout F a]"; fmt.Sprint(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	w.Close()
}

// TestCloseIdle closes a log that waits for output.
func TestCloseIdle(t *testing.T) {
	w := newWriter(t, Path(t.TempDir(), 0), newPosition(t), Options{})
	_, p := newStream(t)
	var copies errgroup.Group
	copies.Go(func() error { return w.Copy(Stdout, p) })
	time.Sleep(5 * time.Millisecond)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := copies.Wait(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("copy: got %v, want %v", err, os.ErrClosed)
	}
	if err := w.Copy(Stdout, p); !errors.Is(err, os.ErrClosed) {
		t.Errorf("copy after close: got %v, want %v", err, os.ErrClosed)
	}
}

// TestCopyWithoutDescriptors: a process that can open nothing more goes on when it can again.
func TestCopyWithoutDescriptors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	stalls := make(chan error, 100)
	w := newWriter(t, path, newPosition(t), Options{Stalled: func(err error) { stalls <- err }})
	write, pipes := newStream(t)
	write.WriteString("a\nb\n")
	write.Close()
	trimScratches()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: 4, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Copy(Stdout, pipes) }()
	stall := <-stalls
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(stall, unix.EMFILE) {
		t.Errorf("stall: got %v, want %v", stall, unix.EMFILE)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-stalls:
		if err != nil {
			t.Errorf("told twice: %v", err)
		}
	default:
		t.Error("not told that it goes on")
	}
	if got := records(t, path); !slices.Equal(got, []string{"stdout F a", "stdout F b"}) {
		t.Errorf("got %q", got)
	}
}
