package logs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// newStream makes pipes that are closed with the test.
func newStream(t testing.TB) (*os.File, Pipes) {
	t.Helper()
	write, p, err := NewPipes()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { write.Close(); p.Close() })
	return write, p
}

// newPosition maps slot 0 of a memory of its own.
func newPosition(t testing.TB) *Position {
	t.Helper()
	memory, err := NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	p, err := MapPosition(memory, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func newWriter(t testing.TB, path string, p *Position, o Options) *Writer {
	t.Helper()
	w, err := NewWriter(path, p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// records returns the lines of a file without their times: "stdout F text".
func records(t testing.TB, path string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSuffix(line, "\n")
		if len(line) < headerWidth || !isFixedStamp([]byte(line[:stampWidth])) {
			t.Fatalf("line %q has no header", line)
		}
		lines = append(lines, line[stampWidth+1:])
	}
	return lines
}

func TestCopy(t *testing.T) {
	long := strings.Repeat("x", maxText)
	tests := []struct {
		name, input string
		want        []string
	}{
		{"nothing", "", nil},
		{"lines", "a\n\nb\n", []string{"stdout F a", "stdout F ", "stdout F b"}},
		{"no newline at the end", "a\nb", []string{"stdout F a", "stdout P b"}},
		{"carriage returns stay", "a\r\n", []string{"stdout F a\r"}},
		{"a line of just the limit", long + "\n", []string{"stdout F " + long}},
		{"a line over the limit", long + "y\nz\n", []string{"stdout P " + long, "stdout F y", "stdout F z"}},
		{"a line of twice the limit", long + long + "\n", []string{"stdout P " + long, "stdout F " + long}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c", "0.log")
			write, p := newStream(t)
			w := newWriter(t, path, newPosition(t), Options{})
			go func() {
				io.WriteString(write, test.input)
				write.Close()
			}()
			if err := w.Copy(Stdout, p); err != nil {
				t.Fatal(err)
			}
			got := records(t, path)
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got %.200q, want %.200q", got, test.want)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := info.Mode().Perm(), os.FileMode(0o640); got != want {
				t.Errorf("mode: got %v, want %v", got, want)
			}
		})
	}
}

// copyAll writes pieces to a stream, each when the one before was taken from the pipe, and ends the stream.
func copyAll(t *testing.T, path string, position *Position, o Options, pieces ...string) {
	t.Helper()
	write, p := newStream(t)
	w := newWriter(t, path, position, o)
	done := make(chan error)
	go func() { done <- w.Copy(Stdout, p) }()
	for _, piece := range pieces {
		write.WriteString(piece)
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Microsecond) {
			if left, err := readable(int(p.Source.Fd())); err != nil || left == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("output is not taken from the pipe")
			}
		}
	}
	write.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCopyPieces writes a line byte by byte: it stays one record as long as the stage can hold it.
func TestCopyPieces(t *testing.T) {
	path := Path(t.TempDir(), 0)
	copyAll(t, path, newPosition(t), Options{}, "a", "b", "c", "\nd", "\n")
	if got, want := fmt.Sprint(records(t, path)), "[stdout F abc stdout F d]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Each piece takes a page of its own in the stage, which has no place for so many.
	pieces := strings.Split(strings.Repeat("x", 3*pipeSize/os.Getpagesize()), "")
	path = Path(t.TempDir(), 1)
	copyAll(t, path, newPosition(t), Options{}, append(pieces, "\n")...)
	got := 0
	for _, r := range records(t, path) {
		got += strings.Count(r, "x")
	}
	if got != len(pieces) {
		t.Errorf("got %d bytes, want %d", got, len(pieces))
	}
}

// TestCopyRotates asserts what is kept, and under which names, when files fill up faster than names count.
func TestCopyRotates(t *testing.T) {
	directory := t.TempDir()
	path := Path(directory, 3)
	appendTo(t, partPath(path, time.Now().Unix()+3600), "") // the clock was set back since
	appendTo(t, Path(directory, 2), "")
	var pieces []string
	for n := range 100 {
		pieces = append(pieces, fmt.Sprintf("%d\n", n))
	}
	copyAll(t, path, newPosition(t), Options{MaxBytes: 2 * int64(headerWidth+3), MaxFiles: 4}, pieces...)
	old, err := oldParts(directory, "3.log")
	if err != nil {
		t.Fatal(err)
	}
	if len(old) != 3 {
		t.Errorf("got %d old parts, want 3", len(old))
	}
	var out strings.Builder
	if err := Read(t.Context(), directory, ReadOptions{Tail: All, Attempt: 3}, &out); err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(pieces, ""); !strings.HasSuffix(all, out.String()) || strings.Count(out.String(), "\n") < 4 {
		t.Errorf("got %q, want the last lines of all", out.String())
	}
	for range 2 { // it is idempotent
		if err := Prune(directory, 3); err != nil {
			t.Fatal(err)
		}
	}
	names, err := readNames(directory)
	if err != nil || len(names) != 4 {
		t.Errorf("after Prune: got %q (%v), want the four files of attempt 3", names, err)
	}
}

// TestCopyDisturbed empties and removes the log while it is written; it goes on as a file opened for appending would.
func TestCopyDisturbed(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "web")
	path := Path(directory, 0)
	w := newWriter(t, path, newPosition(t), Options{})
	write, p := newStream(t)
	done := make(chan error)
	go func() { done <- w.Copy(Stdout, p) }()
	out, _ := startFollow(t, directory, ReadOptions{Tail: All})
	write.WriteString("a\n")
	out.await(t, "a\n")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	write.WriteString("bb\n")
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if got := fmt.Sprint(records(t, path)); got == "[stdout F bb]" {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("emptied file: got %s", got)
		}
	}
	if err := os.RemoveAll(directory); err != nil {
		t.Fatal(err)
	}
	write.WriteString("c\n")
	write.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(records(t, path)), "[stdout F c]"; got != want {
		t.Errorf("removed directory: got %s, want %s", got, want)
	}
}

func TestPosition(t *testing.T) {
	memory, err := NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	for _, number := range []int{-1, Slots} {
		if _, err := MapPosition(memory, number); err == nil {
			t.Errorf("slot %d: mapped, want an error", number)
		}
	}
	last := Slots - 1
	for _, number := range []int{0, 1, last} {
		p, err := MapPosition(memory, number)
		if err != nil {
			t.Fatal(err)
		}
		for turn := range 3 { // each store is seen, whichever half it goes to
			p.store(place{offset: int64(number*10 + turn)})
			if got, want := p.load().offset, int64(number*10+turn); got != want {
				t.Errorf("slot %d: got %d, want %d", number, got, want)
			}
		}
		p.Close()
	}
	again, err := MapPosition(memory, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got, want := again.load().offset, int64(12); got != want {
		t.Errorf("mapped again: got %d, want %d", got, want)
	}
}

// TestPositionTakenOver uses one slot for two logs, and an existing log without a position.
func TestPositionTakenOver(t *testing.T) {
	directory := t.TempDir()
	position := newPosition(t)
	copyAll(t, Path(directory, 0), position, Options{}, "a\n")
	copyAll(t, Path(directory, 1), position, Options{}, "b\n")
	copyAll(t, Path(directory, 0), position, Options{}, "c\n")
	if got, want := fmt.Sprint(records(t, Path(directory, 0))), "[stdout F a stdout F c]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(records(t, Path(directory, 1))), "[stdout F b]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestIdleMemory asserts that a container which prints nothing takes no buffers. Beside the heap it has the stacks of two
// goroutines, 4 KiB each after a while.
func TestIdleMemory(t *testing.T) {
	const writers, limit = 100, 4 << 10
	memory, err := NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	directory := t.TempDir()
	var pipes []Pipes
	var writes []*os.File
	for range 2 * writers {
		write, p := newStream(t)
		pipes, writes = append(pipes, p), append(writes, write)
	}
	inUse := func() uint64 {
		trimScratches()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := inUse()
	var ws []*Writer
	var copies sync.WaitGroup
	for i := range writers {
		position, err := MapPosition(memory, i)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { position.Close() })
		w := newWriter(t, filepath.Join(directory, fmt.Sprint(i), "0.log"), position, Options{})
		ws = append(ws, w)
		copies.Go(func() { w.Copy(Stdout, pipes[2*i]) })
		copies.Go(func() { w.Copy(Stderr, pipes[2*i+1]) })
		writes[2*i].WriteString("a line\n")
		writes[2*i+1].WriteString("a line\n")
	}
	time.Sleep(50 * time.Millisecond)
	got := (inUse() - before) / writers
	t.Logf("%d bytes of heap a writer", got)
	if got > limit {
		t.Errorf("an idle writer takes %d bytes of heap, want at most %d", got, limit)
	}
	for _, w := range ws {
		w.Close()
	}
	copies.Wait()
}

// pour writes a block again and again, so many bytes in all.
func pour(b *testing.B, write *os.File, block []byte, total int) {
	defer write.Close()
	for n := 0; n < total; {
		m, err := write.Write(block[:min(len(block), total-n)])
		if err != nil {
			b.Error(err)
			return
		}
		n += m
	}
}

// BenchmarkCopy copies 200 MB of 100-byte lines in large writes. MB/s are of the container's output; the log is 1.4 times
// as long.
func BenchmarkCopy(b *testing.B) {
	const total = 200_000_000
	block := bytes.Repeat([]byte(strings.Repeat("x", 99)+"\n"), 640)
	b.SetBytes(total)
	for b.Loop() {
		write, p := newStream(b)
		w := newWriter(b, filepath.Join(b.TempDir(), "0.log"), newPosition(b), Options{})
		go pour(b, write, block, total)
		if err := w.Copy(Stdout, p); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFile is what a pipe into a file does without any log, to compare BenchmarkCopy with.
func BenchmarkFile(b *testing.B) {
	const total = 200_000_000
	block := bytes.Repeat([]byte("x"), 64000)
	b.SetBytes(total)
	for b.Loop() {
		write, p := newStream(b)
		out, err := os.Create(filepath.Join(b.TempDir(), "file"))
		if err != nil {
			b.Fatal(err)
		}
		go pour(b, write, block, total)
		if _, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{p.Source}, make([]byte, 64<<10)); err != nil {
			b.Fatal(err)
		}
		out.Close()
	}
}

func TestStampAfter(t *testing.T) {
	const hour, last = int64(time.Hour), int64(1_800_000_000_000_000_000)
	for why, test := range map[string]struct{ now, want int64 }{
		"time goes on":               {last + 5, last + 5},
		"the clock is corrected":     {last - int64(time.Second/2), last},
		"the clock was set back":     {last - hour, last - hour},
		"the clock was set forward":  {last + hour, last + hour},
		"nothing was written so far": {last, last},
	} {
		if got := stampAfter(last, test.now); got != test.want {
			t.Errorf("%s: got %d, want %d", why, got, test.want)
		}
	}
	if got := stampAfter(0, last); got != last {
		t.Errorf("the first: got %d, want %d", got, last)
	}
}
