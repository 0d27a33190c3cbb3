package logs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// output collects what a follower prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// await waits until the output is want.
func (o *output) await(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); o.String() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got %q, want %q", o.String(), want)
		}
	}
}

// startFollow follows the logs in a directory until the function that it returns is called.
func startFollow(t *testing.T, directory string, o ReadOptions) (out *output, stop func()) {
	t.Helper()
	o.Follow = true
	ctx, cancel := context.WithCancel(t.Context())
	out = &output{}
	done := make(chan error)
	go func() { done <- Read(ctx, directory, o, out) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return out, stop
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// TestFollowSteps follows a log through all that can happen to it.
func TestFollowSteps(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "web")
	path := Path(directory, 0)
	out, _ := startFollow(t, directory, ReadOptions{Attempt: Newest, Tail: All})
	time.Sleep(10 * time.Millisecond) // so that it waits for the directory
	if err := os.Mkdir(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	appendTo(t, path, t1+"stdout F first\n")
	out.await(t, "first\n")
	appendTo(t, path, t1+"stdo")
	appendTo(t, path, "ut F cut\n"+t1+"stdout P half \n")
	out.await(t, "first\ncut\nhalf ")
	// Two rotations between two looks, and the end of a line behind them.
	appendTo(t, path, t1+"stdout P a \n")
	os.Rename(path, partPath(path, 1_700_000_000))
	appendTo(t, path, t1+"stdout P line\n")
	os.Rename(path, partPath(path, 1_700_000_001))
	appendTo(t, path, t1+"stdout F !\n")
	out.await(t, "first\ncut\nhalf a line!\n")
	// Somebody empties the file.
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * followPause)
	appendTo(t, path, t1+"stdout F x\n")
	out.await(t, "first\ncut\nhalf a line!\nx\n")
	// The container restarts, and its second start leaves no log.
	appendTo(t, path, t1+"stdout P prompt\n")
	appendTo(t, Path(directory, 2), t1+"stdout F again\n")
	out.await(t, "first\ncut\nhalf a line!\nx\nprompt\nagain\n")
	// A restart whose log is rotated before it is found.
	os.WriteFile(partPath(Path(directory, 3), 1_700_000_000), []byte(t1+"stdout F old\n"), 0o640)
	os.WriteFile(Path(directory, 3), []byte(t1+"stdout F new\n"), 0o640)
	out.await(t, "first\ncut\nhalf a line!\nx\nprompt\nagain\nold\nnew\n")
}

func TestFollowTail(t *testing.T) {
	directory := writeFiles(t, map[string]string{
		"0.log.20260102-000000": t1 + "stdout F a\n" + t1 + "stdout F b\n", "0.log": t2 + "stdout F c\n"})
	out, _ := startFollow(t, directory, ReadOptions{Tail: 2, Timestamps: true})
	out.await(t, t1+"b\n"+t2+"c\n")
	appendTo(t, Path(directory, 0), t3+"stderr F d\n")
	out.await(t, t1+"b\n"+t2+"c\n"+t3+"d\n")
}

// TestFollowEnded asserts that all that was there when the end was told is printed, and that following then ends.
func TestFollowEnded(t *testing.T) {
	directory := writeFiles(t, map[string]string{"0.log": t1 + "stdout F a\n"})
	var out output
	calls := 0
	ended := func() bool {
		calls++
		if calls == 2 {
			appendTo(t, Path(directory, 0), t2+"stdout F b\n")
			appendTo(t, Path(directory, 1), t3+"stdout P c\n")
		}
		return calls >= 2
	}
	err := Read(t.Context(), directory, ReadOptions{Tail: All, Follow: true, Ended: ended}, &out)
	if got, want := out.String(), "a\nb\nc"; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// TestFollowWriter follows a writer that rotates all the time, over two attempts.
func TestFollowWriter(t *testing.T) {
	const lines = 30_000
	directory := t.TempDir()
	var ended atomic.Bool
	var follower errgroup.Group
	var out bytes.Buffer
	o := ReadOptions{Tail: All, Follow: true, Ended: ended.Load}
	follower.Go(func() error { return Read(t.Context(), directory, o, &out) })
	position := newPosition(t)
	var want strings.Builder
	for attempt := range 2 {
		w := newWriter(t, Path(directory, attempt), position, Options{MaxBytes: 100 << 10, MaxFiles: 1000})
		write, p := newStream(t)
		var copier errgroup.Group
		copier.Go(func() error { return w.Copy(Stdout, p) })
		for n := range lines {
			line := fmt.Sprintf("%d %d %.*s\n", attempt, n, n%97, strings.Repeat("x", 97))
			want.WriteString(line)
			write.WriteString(line)
		}
		write.Close()
		if err := copier.Wait(); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ended.Store(true)
	if err := follower.Wait(); err != nil {
		t.Fatal(err)
	}
	if out.String() != want.String() {
		t.Errorf("got %d bytes, want %d; they differ", out.Len(), want.Len())
	}
}

// TestFollowPolls follows without inotify, as after the user's last watch.
func TestFollowPolls(t *testing.T) {
	w := watch{directory: filepath.Join(t.TempDir(), "none")}
	w.open()
	if w.events != nil {
		t.Error("a directory that is not there is watched")
	}
	before := time.Now()
	w.wait(t.Context())
	if got := time.Since(before); got < followPause || got > 4*followPause {
		t.Errorf("waited %v, want %v", got, followPause)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before = time.Now()
	w.wait(ctx)
	if got := time.Since(before); got > followPause/2 {
		t.Errorf("waited %v after the end, want 0", got)
	}
}

func TestShared(t *testing.T) {
	var out bytes.Buffer
	shared := Shared(&out)
	var readers errgroup.Group
	for _, name := range []string{"a", "b"} {
		directory := writeFiles(t, map[string]string{"0.log": strings.Repeat(t1+"stdout F "+strings.Repeat(name, 90)+"\n", 5000)})
		readers.Go(func() error {
			return Read(t.Context(), directory, ReadOptions{Tail: All, Prefix: "[" + name + "] "}, shared)
		})
	}
	if err := readers.Wait(); err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range strings.Lines(out.String()) {
		name := line[1:2]
		if line != "["+name+"] "+strings.Repeat(name, 90)+"\n" {
			t.Fatalf("mixed line %q", line)
		}
		count++
	}
	if count != 10_000 {
		t.Errorf("got %d lines, want 10000", count)
	}
}
