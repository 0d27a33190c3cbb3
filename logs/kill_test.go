package logs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// writerVariable makes the test binary a writer: its value is the path of the log, its descriptors from 3 on are the
// memory and the pipes of both streams.
const writerVariable = "PODRUN_TEST_LOG_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerVariable); path != "" {
		if err := childWriter(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	before := openDescriptors()
	code := m.Run()
	trimScratches()
	if after := openDescriptors(); after > before {
		fmt.Fprintf(os.Stderr, "descriptors left open: got %d, want %d\n", after, before)
		code = 1
	}
	os.Exit(code)
}

// openDescriptors counts this process's descriptors, the runtime's own poller not among them.
func openDescriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	count := 0
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(target, "anon_inode:[event") && !strings.HasSuffix(target, ".prof") {
			count++
		}
	}
	return count
}

// killOptions rotate often and remove nothing.
var killOptions = Options{MaxBytes: 400 << 10, MaxFiles: 1 << 20}

func childWriter(path string) error {
	position, err := MapPosition(os.NewFile(3, "memory"), 0)
	if err != nil {
		return err
	}
	w, err := NewWriter(path, position, killOptions)
	if err != nil {
		return err
	}
	var copies errgroup.Group
	for i, stream := range []Stream{Stdout, Stderr} {
		p := Pipes{
			Source:     os.NewFile(uintptr(4+3*i), "source"),
			StageRead:  os.NewFile(uintptr(5+3*i), "stage"),
			StageWrite: os.NewFile(uintptr(6+3*i), "stage"),
		}
		copies.Go(func() error { return w.Copy(stream, p) })
	}
	if err := copies.Wait(); err != nil {
		return err
	}
	return w.Close()
}

// printNumbered writes lines, numbered from 0, until it is told to stop, and returns how many. They are short and long,
// come in pieces and in heaps.
func printNumbered(out *os.File, stop <-chan struct{}, seed uint64) (int, error) {
	random := rand.New(rand.NewPCG(seed, 1))
	var pending []byte
	for n := 0; ; n++ {
		size := random.IntN(200)
		if random.IntN(300) == 0 {
			size = random.IntN(5 * maxText)
		}
		pending = append(pending, numbered(n, size)...)
		if random.IntN(20) != 0 {
			continue
		}
		cut := len(pending) - random.IntN(min(len(pending), 50))
		if _, err := out.Write(pending[:cut]); err != nil {
			return n, err
		}
		pending = append(pending[:0], pending[cut:]...)
		select {
		case <-stop:
			_, err := out.Write(pending)
			return n + 1, err
		default:
		}
	}
}

// numbered is a line with a number, its length and a fill of that length.
func numbered(n, size int) string {
	return fmt.Sprintf("%d %d %s\n", n, size, strings.Repeat(string(rune('a'+n%26)), size))
}

// awaitTurns waits until the writer has stored so many places, and a moment longer: the phases of a batch are over in
// microseconds, and a kill at a random time would seldom find them.
func awaitTurns(p *Position, turns uint64, longer time.Duration) {
	want := atomic.LoadUint64(&p.slot.turn) + turns
	for deadline := time.Now().Add(50 * time.Millisecond); atomic.LoadUint64(&p.slot.turn) < want; {
		if time.Now().After(deadline) {
			return
		}
	}
	for moment := time.Now(); time.Since(moment) < longer; {
	}
}

// TestKill kills the writer at random moments and replaces it, as pause does with the monitor.
func TestKill(t *testing.T) {
	kills := 100
	if testing.Short() {
		kills = 20
	}
	directory := t.TempDir()
	path := Path(directory, 0)
	memory, err := NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	position, err := MapPosition(memory, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer position.Close()
	descriptors := []*os.File{memory}
	stop := make(chan struct{})
	var sources errgroup.Group
	var printed [2]int
	for i := range printed {
		write, p := newStream(t)
		descriptors = append(descriptors, p.Source, p.StageRead, p.StageWrite)
		sources.Go(func() (err error) {
			defer write.Close()
			printed[i], err = printNumbered(write, stop, uint64(i))
			return err
		})
	}
	var ended atomic.Bool
	var followers errgroup.Group
	var followed [2]bytes.Buffer
	for i := range followed {
		o := ReadOptions{Tail: All, Follow: true, Ended: ended.Load, Streams: []Stream{Stream(i)}}
		followers.Go(func() error { return Read(t.Context(), directory, o, &followed[i]) })
	}
	start := func() (*exec.Cmd, *bytes.Buffer) {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), writerVariable+"="+path)
		cmd.ExtraFiles = descriptors
		complaints := &bytes.Buffer{}
		cmd.Stderr = complaints
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, complaints
	}
	for range kills {
		cmd, complaints := start()
		awaitTurns(position, 1+rand.Uint64N(30), time.Duration(rand.IntN(20))*time.Microsecond)
		cmd.Process.Kill()
		cmd.Wait()
		if status := cmd.ProcessState.Sys().(interface{ Signal() unix.Signal }); status.Signal() != unix.SIGKILL {
			t.Fatalf("writer ended by itself: %v: %s", cmd.ProcessState, complaints)
		}
	}
	close(stop)
	cmd, complaints := start()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("last writer: %v: %s", err, complaints)
	}
	if err := sources.Wait(); err != nil {
		t.Fatal(err)
	}
	ended.Store(true)
	if err := followers.Wait(); err != nil {
		t.Fatal(err)
	}
	for i := range followed {
		n := 0
		for line := range bytes.Lines(followed[i].Bytes()) {
			checkLine(t, bytes.TrimSuffix(line, []byte("\n")), n)
			n++
		}
		if n != printed[i] {
			t.Errorf("%s: followed %d lines, want %d", Stream(i), n, printed[i])
		}
	}
	old, err := oldParts(directory, filepath.Base(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d and %d lines in %d files, %d kills", printed[0], printed[1], len(old)+1, kills)
	checkNumbered(t, directory, old, printed)
}

// checkNumbered looks for each numbered line once and in order.
func checkNumbered(t *testing.T, directory string, old []part, printed [2]int) {
	t.Helper()
	var line [2][]byte
	var next [2]int
	var last string
	for _, p := range append(old, part{name: "0.log"}) {
		content, err := os.ReadFile(filepath.Join(directory, p.name))
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(content)) > killOptions.MaxBytes+recordSize {
			t.Errorf("%s has %d bytes, want at most %d", p.name, len(content), killOptions.MaxBytes)
		}
		for l := range bytes.Lines(content) {
			r, ok := parseRecord(bytes.TrimSuffix(l, []byte("\n")))
			if !ok {
				t.Fatalf("%s: line %.100q is no record", p.name, l)
			}
			if string(r.stamp) < last {
				t.Fatalf("%s: time %s after %s", p.name, r.stamp, last)
			}
			last = string(r.stamp)
			line[r.stream] = append(line[r.stream], r.text...)
			if r.partial {
				continue
			}
			checkLine(t, line[r.stream], next[r.stream])
			line[r.stream] = line[r.stream][:0]
			next[r.stream]++
		}
	}
	if next != printed {
		t.Errorf("lines in the log: got %v, want %v", next, printed)
	}
}

func checkLine(t *testing.T, line []byte, want int) {
	t.Helper()
	var got, size int
	if _, err := fmt.Sscanf(string(line[:min(len(line), 50)]), "%d %d", &got, &size); err != nil {
		t.Fatalf("line %d: got %.100q: %v", want, line, err)
	}
	if string(line)+"\n" != numbered(want, size) {
		t.Fatalf("line %d: got %.100q", want, line)
	}
}

// TestResume puts a log into each state that a kill can leave, and lets a new writer go on.
func TestResume(t *testing.T) {
	const stamp = 1_000_000_000
	record := func(text string) string { return "1970-01-01T00:00:01.000000000Z " + text + "\n" }
	done := record("stdout F done")
	tests := []struct {
		name  string
		place place  // owner and offset are filled in
		stage string // what is in the stage of stderr
		file  string // after the committed part
		want  []string
	}{
		{"in the stage only", place{}, "a\nb", "",
			[]string{"stdout F done", "stderr F a", "stderr F brest"}},
		{"before the write", place{phase: writing, bytes: 2}, "a\nb", "",
			[]string{"stdout F done", "stderr F a", "stderr F brest"}},
		{"in the middle of the write", place{phase: writing, bytes: 4}, "a\nb\nc", record("stderr F a")[:20],
			[]string{"stdout F done", "stderr F a", "stderr F b", "stderr F crest"}},
		{"after the write", place{phase: writing, bytes: 2}, "a\nb", record("stderr F a"),
			[]string{"stdout F done", "stderr F a", "stderr F brest"}},
		{"an unfinished line was being written", place{phase: writing, bytes: 3}, "a\nb", "",
			[]string{"stdout F done", "stderr F a", "stderr P b", "stderr F rest"}},
		{"after the commit", place{phase: draining, bytes: 1}, "a\nb", record("stderr F a"),
			[]string{"stdout F done", "stderr F a", "stderr F brest"}},
		{"in the middle of the drain", place{phase: draining, bytes: 1}, "\nb", record("stderr F a"),
			[]string{"stdout F done", "stderr F a", "stderr F brest"}},
		{"after the drain", place{phase: draining, bytes: 1}, "b", record("stderr F a"),
			[]string{"stdout F done", "stderr F a", "stderr F brest"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "0.log")
			if err := os.WriteFile(path, []byte(done+test.file), 0o640); err != nil {
				t.Fatal(err)
			}
			at := test.place
			at.owner, at.offset, at.stream, at.time = hashPath(path), int64(len(done)), uint32(Stderr), stamp
			if at.phase == draining {
				at.offset += int64(len(test.file))
			}
			position := newPosition(t)
			position.store(at)
			w := newWriter(t, path, position, Options{})
			var copies errgroup.Group
			// stdout comes first and has to wait for what the dead writer left of stderr.
			nothing, idleStream := newStream(t)
			copies.Go(func() error { return w.Copy(Stdout, idleStream) })
			nothing.Close()
			write, p := newStream(t)
			if _, err := p.StageWrite.WriteString(test.stage); err != nil {
				t.Fatal(err)
			}
			copies.Go(func() error { return w.Copy(Stderr, p) })
			write.WriteString("rest\n")
			write.Close()
			if err := copies.Wait(); err != nil {
				t.Fatal(err)
			}
			if got := records(t, path); fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if held, err := readable(int(p.StageRead.Fd())); held != 0 || err != nil {
				t.Errorf("stage holds %d bytes (%v), want 0", held, err)
			}
		})
	}
}

// TestResumeSame asserts that a follower who has read what was written before a kill has read the truth.
func TestResumeSame(t *testing.T) {
	const batch = "1970-01-01T00:00:01.000000000Z stdout F a\n1970-01-01T00:00:01.000000000Z stdout P b\n"
	path := filepath.Join(t.TempDir(), "0.log")
	position := newPosition(t)
	position.store(place{owner: hashPath(path), phase: writing, bytes: 3, time: 1_000_000_000})
	w := newWriter(t, path, position, Options{})
	write, p := newStream(t)
	p.StageWrite.WriteString("a\nb")
	write.Close()
	if err := w.Copy(Stdout, p); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != batch {
		t.Errorf("got %q (%v), want %q", got, err, batch)
	}
}

// TestResumeRotation kills a rotation before and after each of its steps.
func TestResumeRotation(t *testing.T) {
	const stamp = 1_700_000_000
	const old = "1970-01-01T00:00:01.000000000Z stdout F old\n"
	for _, test := range []struct {
		name             string
		renamed, created bool
	}{
		{"before the rename", false, true},
		{"after the rename", true, false},
		{"after the new file", true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "0.log")
			part := partPath(path, stamp)
			if test.created {
				content := old
				if test.renamed {
					content = ""
				}
				if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			if test.renamed {
				if err := os.WriteFile(part, []byte(old), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			position := newPosition(t)
			position.store(place{owner: hashPath(path), phase: rotating, offset: int64(len(old)), rotated: stamp})
			w := newWriter(t, path, position, Options{})
			write, p := newStream(t)
			write.WriteString("new\n")
			write.Close()
			if err := w.Copy(Stdout, p); err != nil {
				t.Fatal(err)
			}
			if got, want := records(t, part), "[stdout F old]"; fmt.Sprint(got) != want {
				t.Errorf("old part: got %q, want %q", got, want)
			}
			if got, want := records(t, path), "[stdout F new]"; fmt.Sprint(got) != want {
				t.Errorf("current: got %q, want %q", got, want)
			}
		})
	}
}
