package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestKeep(t *testing.T) {
	b := newBox(t, nil)
	long := strings.Repeat("n", nameSize-1)
	steps := []struct {
		op, name, content string
		want, err         string
	}{
		{op: "take", name: "a", err: "take a: pause: no such file or directory"},
		{op: "keep", name: "a", content: "one"},
		{op: "take", name: "a", want: "one"},
		{op: "take", name: "a", want: "one"}, // it is a copy
		{op: "keep", name: "a", content: "two"},
		{op: "take", name: "a", want: "two"},
		{op: "keep", name: long, content: "the longest name"},
		{op: "take", name: long, want: "the longest name"},
		{op: "keep", name: long + "n", err: fmt.Sprintf("keep %q: the name is too long", long+"n")},
		{op: "keep", name: "a/b c\n", content: "any byte but zero is allowed"},
		{op: "take", name: "a/b c\n", want: "any byte but zero is allowed"},
		{op: "drop", name: "a"},
		{op: "drop", name: "a"}, // nothing there is no error
		{op: "take", name: "a", err: "take a: pause: no such file or directory"},
	}
	for _, step := range steps {
		a, err := b.try(step.op, step.name, step.content)
		if err != nil || a.Text != step.want || a.Err != step.err {
			t.Errorf("%s %.10q: got %q, %q (%v), want %q, %q", step.op, step.name, a.Text, a.Err, err, step.want, step.err)
		}
	}
	want := []string{"a/b c\n", "control", "lock", "mounts", long}
	if got := b.ask("names").Names; !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("names: got %q, want %q", got, want)
	}
}

// What is kept outlives the monitor, and nothing that the monitor has is lost with it.
func TestKeptOutlivesTheMonitor(t *testing.T) {
	const many = 600
	b := newBox(t, nil)
	for i := range many {
		b.ask("keep", fmt.Sprintf("file %d", i), fmt.Sprint("content ", i))
	}
	before := len(fdsOf(t, b.pause.pid))
	b.killMonitor()
	if got := b.ask("names").Names; len(got) != many+3 {
		t.Errorf("%d are kept, want %d", len(got), many+3)
	}
	for i := range many {
		if got, want := b.ask("take", fmt.Sprintf("file %d", i)).Text, fmt.Sprint("content ", i); got != want {
			t.Errorf("file %d: got %q, want %q", i, got, want)
		}
	}
	if after := len(fdsOf(t, b.pause.pid)); after != before {
		t.Errorf("pause has %d descriptors, had %d", after, before)
	}
	for i := range many {
		b.ask("drop", fmt.Sprintf("file %d", i))
	}
	if after := len(fdsOf(t, b.pause.pid)); after != before-many {
		t.Errorf("pause has %d descriptors after %d were dropped, had %d", after, many, before)
	}
}

// Who waits to write to a FIFO is let go on, and needs no monitor for it.
func TestHold(t *testing.T) {
	b := newBox(t, nil)
	path := filepath.Join(b.dir, "fifo")
	must(t, unix.Mkfifo(path, 0o600))
	opened := make(chan *os.File)
	go func() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
		}
		opened <- f
	}()
	select {
	case <-opened:
		t.Fatal("the FIFO was opened without a reader")
	case <-time.After(20 * time.Millisecond):
	}
	b.ask("hold", "release", path)
	writer := <-opened
	defer writer.Close()
	b.killMonitor()
	if _, err := writer.WriteString("0"); err != nil {
		t.Error(err)
	}
	b.ask("hold", "release", path) // there is a reader at any time
	if _, err := writer.WriteString("0"); err != nil {
		t.Error(err)
	}
	b.ask("drop", "release")
	if _, err := writer.WriteString("0"); !errors.Is(err, unix.EPIPE) {
		t.Errorf("without a reader: got %v", err)
	}
}

func fdsOf(t *testing.T, pid int) []os.DirEntry {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	must(t, err)
	return files
}

// Also when somebody kills one after the other.
func TestMonitorIsBackWithin100ms(t *testing.T) {
	b := newBox(t, nil)
	var gaps []time.Duration
	for range 12 {
		pid := b.ask("facts").Facts.PID
		start := time.Now()
		must(t, unix.Kill(pid, unix.SIGKILL))
		b.ask("facts")
		gaps = append(gaps, time.Since(start))
	}
	slices.Sort(gaps)
	if fast := gaps[len(gaps)/3]; fast > 100*time.Millisecond { // the machine may have other work
		t.Errorf("after %v", gaps)
	}
}

// One that cannot live is started ever more slowly.
func TestBackOff(t *testing.T) {
	b := newBox(t, func(c *Config) { c.Monitor[1] = "die" })
	time.Sleep(1500 * time.Millisecond)
	data, err := os.ReadFile(filepath.Join(b.dir, "starts"))
	must(t, err)
	starts := strings.Fields(string(data))
	if len(starts) < 4 || len(starts) > 8 { // at 0, 10, 30, 70, 150, 310, 630 and 1270 ms, the runs' own time between them
		t.Errorf("%d starts in 1.5 s", len(starts))
	}
	for i := 1; i < len(starts); i++ {
		before, _ := strconv.ParseInt(starts[i-1], 10, 64)
		at, _ := strconv.ParseInt(starts[i], 10, 64)
		if gap, least := time.Duration(at-before), 10*time.Millisecond<<(i-1); gap < least {
			t.Errorf("start %d came %v after the one before, want at least %v", i, gap, least)
		}
	}
}

func TestExits(t *testing.T) {
	strange := filepath.Join(t.TempDir(), "x) 1 (2 3") // field 2 of /proc/PID/stat
	must(t, os.Symlink("/bin/sh", strange))
	tests := []struct {
		name         string
		command      []string
		code, signal int
	}{
		{"code", []string{"/bin/sh", "sh", "-c", "exit 7"}, 7, 0},
		{"a name with blanks and parentheses", []string{strange, "sh", "-c", "exit 9"}, 9, 0},
		{"killed", []string{"/bin/sh", "sh", "-c", "kill -9 $$"}, 137, 9},
		{"dumped", []string{"/bin/sh", "sh", "-c", "ulimit -c 0; kill -ABRT $$"}, 134, 6},
		{"256 is 0", []string{"/bin/sh", "sh", "-c", "exit 256"}, 0, 0},
	}
	b := newBox(t, nil)
	type child struct {
		pid   int
		start uint64
	}
	var children []child
	for _, test := range tests {
		pid := b.ask("spawn", test.command...).PID
		children = append(children, child{pid, startTime(t, pid)})
	}
	for _, c := range children {
		soon(t, "the child has ended", func() bool { return strings.HasPrefix(procField(t, c.pid, "State"), "Z") })
	}
	if got := b.ask("exits").Exits; len(got) != 0 {
		t.Errorf("pause has exits of processes whose monitor lives: %+v", got)
	}
	killed := time.Now()
	b.killMonitor()
	soon(t, "all exits are recorded", func() bool { return len(b.ask("exits").Exits) == len(tests) })
	exits := b.ask("exits").Exits
	for i, test := range tests {
		n := slices.IndexFunc(exits, func(e Exited) bool { return e.Pid == children[i].pid })
		if n < 0 {
			t.Errorf("%s: not recorded", test.name)
			continue
		}
		e := exits[n]
		if e.StartTime != children[i].start || e.Code != test.code || e.Signal != test.signal {
			t.Errorf("%s: got %+v, want start time %d, code %d, signal %d", test.name, e, children[i].start, test.code, test.signal)
		}
		if e.At.Before(killed.Add(-time.Second)) || e.At.After(time.Now()) {
			t.Errorf("%s: recorded for %v", test.name, e.At)
		}
		b.ask("forget", fmt.Sprint(e.Pid), fmt.Sprint(e.StartTime+1)) // another process of that number
		if got := len(b.ask("exits").Exits); got != len(tests)-i {
			t.Errorf("%s: %d exits are left, want %d", test.name, got, len(tests)-i)
		}
		for range 2 { // the second is no error
			if a := b.ask("forget", fmt.Sprint(e.Pid), fmt.Sprint(e.StartTime)); a.Err != "" {
				t.Errorf("%s: %s", test.name, a.Err)
			}
		}
	}
	if got := b.ask("exits").Exits; len(got) != 0 {
		t.Errorf("left: %+v", got)
	}
}

func startTime(t *testing.T, pid int) uint64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(t, err)
	fields := strings.Fields(string(data[strings.LastIndex(string(data), ")")+1:]))
	start, err := strconv.ParseUint(fields[19], 10, 64)
	must(t, err)
	return start
}

func TestPauseDied(t *testing.T) {
	b := newBox(t, nil)
	b.ask("facts")
	must(t, unix.Kill(b.pause.pid, unix.SIGKILL))
	if err := <-b.pause.Failed(); err == nil || err.Error() != "the pause process ended: signal: killed" {
		t.Errorf("got %v", err)
	}
	b.assertPauseDied()
}

func (b *box) assertPauseDied() {
	b.Helper()
	soon(b, "the monitor knows that its pause died", func() bool {
		_, err := os.Stat(filepath.Join(b.dir, "pause-died"))
		return err == nil
	})
}

func TestQuit(t *testing.T) {
	b := newBox(t, nil)
	b.try("quit") // the answer races with the monitor's own end
	if err := <-b.pause.Failed(); err != nil {
		t.Errorf("got %v, want no error: it was asked to", err)
	}
	b.assertPauseDied()
}

// A monitor gone mad must not cost the pod its pause.
func TestGarbage(t *testing.T) {
	b := newBox(t, nil)
	b.ask("keep", "a", "one")
	before := len(fdsOf(t, b.pause.pid))
	whole := func(op uint32) string { return string(request{op: op, name: "none"}.encode()) }
	tests := []struct {
		why, packet string
		want        unix.Errno
	}{
		{"one byte", "x", unix.EINVAL},
		{"a byte too few", whole(opList)[1:], unix.EINVAL},
		{"no operation", whole(0), unix.EINVAL},
		{"an operation of the future", whole(99), unix.EINVAL},
		{"a name without end", whole(opTake)[:16] + strings.Repeat("x", nameSize), unix.ENOENT},
		{"too long", strings.Repeat("x", 5000), unix.EINVAL},
	}
	for _, test := range tests {
		for _, with := range [][]string{{}, {"a descriptor"}} {
			if a := b.ask("raw", append([]string{test.packet}, with...)...); a.Errno != test.want {
				t.Errorf("%s %v: got %v (%s), want %v", test.why, with, a.Errno, a.Err, test.want)
			}
		}
	}
	if a := b.ask("raw", whole(opKeep)); a.Errno != unix.EBADF {
		t.Errorf("nothing to keep: got %v, want EBADF", a.Err)
	}
	if got := b.ask("take", "a").Text; got != "one" {
		t.Errorf("what was kept is %q", got)
	}
	if after := len(fdsOf(t, b.pause.pid)); after != before {
		t.Errorf("pause has %d descriptors, had %d", after, before)
	}
}
