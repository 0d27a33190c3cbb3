package runtime

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// exec runs a command to its end.
func (r *rig) exec(c *Container, stdin string, args ...string) (output string, exit Exit) {
	r.Helper()
	inRead, inWrite, err := os.Pipe()
	must(r, err)
	read, write, err := os.Pipe()
	must(r, err)
	defer read.Close()
	e, err := c.Exec(Command{Args: args, Stdin: inRead, Stdout: write, Stderr: write})
	inRead.Close()
	write.Close()
	must(r, err)
	io.WriteString(inWrite, stdin)
	must(r, inWrite.Close())
	data, err := io.ReadAll(read)
	must(r, err)
	exit, err = e.Wait()
	must(r, err)
	return strings.TrimSpace(string(data)), exit
}

func TestExec(t *testing.T) {
	r := newRig(t)
	s := r.spec("echo ready; sleep 100")
	s.Image.User, s.Image.WorkingDir, s.Image.Env = "web", "/data", []string{"A=1"}
	c, out := r.create(s)
	_, err := c.Start(nil)
	must(t, err)
	out.Read(make([]byte, len("ready\n")))
	tests := []struct {
		why, stdin string
		args       []string
		output     string
		want       Exit
	}{
		{"output of both kinds", "", []string{"sh", "-c", "echo out; echo err >&2"}, "out\nerr", Exit{}},
		{"exit code", "", []string{"sh", "-c", "exit 42"}, "", Exit{Code: 42}},
		{"signal", "", []string{"sh", "-c", "kill -9 $$"}, "", Exit{Code: 137, Signal: 9}},
		{"input", "line 1\nline 2\n", []string{"cat"}, "line 1\nline 2", Exit{}},
		{"user of the first process", "", []string{"id"}, "uid=1000(web) gid=1001(web) groups=1001(web),2000(extra)", Exit{}},
		{"directory of the first process", "", []string{"readlink", "/proc/self/cwd"}, "/data", Exit{}},
		{"environment of the first process", "", []string{"sh", "-c", "echo $A $HOSTNAME"}, "1 web", Exit{}},
		{"no capability of a user other than root", "", []string{"grep", "CapEff", "/proc/self/status"}, "CapEff:\t0000000000000000", Exit{}},
		{"the filter of the container", "", []string{"grep", "Seccomp:", "/proc/self/status"}, "Seccomp:\t2", Exit{}},
		{"the score of the container", "", []string{"cat", "/proc/self/oom_score_adj"}, "900", Exit{}},
		{"no other descriptor", "", []string{"sh", "-c", openFiles}, "0 1 2", Exit{}},
	}
	for _, test := range tests {
		output, exit := r.exec(c, test.stdin, test.args...)
		if output != test.output || exit != test.want {
			t.Errorf("%s: got %q, %+v, want %q, %+v", test.why, output, exit, test.output, test.want)
		}
	}
	for args, want := range map[string]error{"none": ErrCommandNotFound, "/none": ErrCommandNotFound, "/etc/passwd": ErrNotExecutable} {
		if _, err := c.Exec(Command{Args: []string{args}}); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", args, err, want)
		}
	}
	must(t, c.Signal(unix.SIGKILL))
	r.finish(c, out)
}

func TestExecOnTerminal(t *testing.T) {
	r := newRig(t)
	c, out := r.create(r.spec("echo ready; sleep 100"))
	_, err := c.Start(nil)
	must(t, err)
	out.Read(make([]byte, len("ready\n")))
	e, err := c.Exec(Command{Args: []string{"sh", "-c", "tty; stty size; echo $TERM; read x; echo got $x; exit 3"}, TTY: true, Width: 91, Height: 33})
	must(t, err)
	defer e.Console.Close()
	e.Console.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err = io.WriteString(e.Console, "typed\n")
	must(t, err)
	data, _ := io.ReadAll(e.Console) // ends with EIO, as terminals do
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	for _, want := range []string{"/dev/pts/0\n", "33 91\n", "xterm\n", "got typed\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the terminal shows %q, want %q in it", text, want)
		}
	}
	if exit, err := e.Wait(); exit != (Exit{Code: 3}) || err != nil {
		t.Errorf("got %+v (%v), want code 3", exit, err)
	}
	must(t, c.Signal(unix.SIGKILL))
	r.finish(c, out)
}

// A container whose first process has to wait for a command to be reaped is known by that.
func TestExiting(t *testing.T) {
	r := newRig(t)
	c, out := r.create(r.spec("echo ready; sleep 100"))
	_, err := c.Start(nil)
	must(t, err)
	out.Read(make([]byte, len("ready\n")))
	e, err := c.Exec(Command{Args: []string{"sleep", "100"}})
	must(t, err)
	if c.Exiting() {
		t.Error("a container that runs is on its way out")
	}
	must(t, c.Signal(unix.SIGKILL))
	for deadline := time.Now().Add(10 * time.Second); !c.Exiting(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it was killed, and is not on its way out")
		}
	}
	_, err = e.Wait()
	must(t, err)
	r.finish(c, out)
	if c.Exiting() {
		t.Error("it is gone, and still on its way out")
	}
}

func TestExecIsKilledWithItsContainer(t *testing.T) {
	r := newRig(t)
	c, out := r.create(r.spec("echo ready; sleep 100"))
	_, err := c.Start(nil)
	must(t, err)
	out.Read(make([]byte, len("ready\n")))
	e, err := c.Exec(Command{Args: []string{"sleep", "100"}})
	must(t, err)
	must(t, c.Signal(unix.SIGKILL))
	if exit, err := e.Wait(); exit != (Exit{Code: 137, Signal: 9}) || err != nil {
		t.Errorf("got %+v (%v)", exit, err)
	}
	waitFor(t, c)
	if _, err := c.Exec(Command{Args: []string{"true"}}); err == nil || err.Error() != "the container is not running" {
		t.Errorf("a command in a container that has ended: got %v", err)
	}
	must(t, out.Close())
	must(t, c.Destroy())
}

// Many at once: none takes another's helpers away (reapStrays).
func TestExecsBesideFailingOnes(t *testing.T) {
	r := newRig(t)
	c, out := r.create(r.spec("echo ready; sleep 100"))
	_, err := c.Start(nil)
	must(t, err)
	out.Read(make([]byte, len("ready\n")))
	done := make(chan bool)
	go func() {
		defer close(done)
		for range 10 {
			if _, err := c.Exec(Command{Args: []string{"none"}}); !errors.Is(err, ErrCommandNotFound) {
				t.Errorf("got %v, want ErrCommandNotFound", err)
			}
		}
	}()
	for range 10 {
		if output, exit := r.exec(c, "", "sh", "-c", "echo fine; exit 5"); output != "fine" || exit.Code != 5 {
			t.Errorf("got %q, %+v", output, exit)
		}
	}
	<-done
	must(t, c.Signal(unix.SIGKILL))
	r.finish(c, out)
}

// A contained command is killed with what it has started, also where that has
// left its session and lost its parents.
func TestContainedExec(t *testing.T) {
	r := newRig(t)
	c, out := r.create(r.spec("echo ready; sleep 100"))
	_, err := c.Start(nil)
	must(t, err)
	out.Read(make([]byte, len("ready\n")))
	base, _, err := c.execBase()
	must(t, err)
	groups := func() (names []string) {
		entries, err := os.ReadDir(base)
		must(t, err)
		for _, e := range entries {
			if e.IsDir() {
				names = append(names, e.Name())
			}
		}
		return names
	}
	// The outer setsid ends at once, so that the inner one is nobody's child.
	const leave = "setsid sh -c 'setsid sleep 77 & echo left'"
	sleepers := func() string {
		output, _ := r.exec(c, "", "sh", "-c", "grep -l 'sleep.7[7]' /proc/[0-9]*/cmdline | grep -c .")
		return output
	}
	run := func(script string) (*Execution, *os.File) {
		read, write, err := os.Pipe()
		must(t, err)
		e, err := c.Exec(Command{Args: []string{"sh", "-c", script}, Stdout: write, Contained: true})
		write.Close()
		must(t, err)
		read.Read(make([]byte, len("left\n")))
		return e, read
	}

	e, read := run(leave + "; sleep 78")
	if left := groups(); len(left) != 1 {
		t.Errorf("the command runs in %v", left)
	}
	must(t, e.KillAll())
	if exit, err := e.Wait(); exit.Signal != 9 || err != nil {
		t.Errorf("got %+v (%v), want signal 9", exit, err)
	}
	read.Close()
	if got := sleepers(); got != "0" {
		t.Errorf("%s are left of the killed command", got)
	}

	// One that ends by itself leaves behind what it wants to.
	e, read = run(leave)
	if exit, err := e.Wait(); exit != (Exit{}) || err != nil {
		t.Errorf("got %+v (%v), want code 0", exit, err)
	}
	read.Close()
	must(t, e.KillAll())
	if got := sleepers(); got != "1" {
		t.Errorf("%s sleep on after the end of their command, want 1", got)
	}

	// What a dead monitor has left is found.
	e, read = run(leave + "; sleep 78")
	loaded, err := Load(r.root, "c1")
	must(t, err)
	must(t, loaded.EndExecs())
	e.Wait()
	read.Close()
	if got := sleepers(); got != "1" {
		t.Errorf("%s sleep on, want the one from before", got)
	}
	if left := groups(); len(left) != 0 {
		t.Errorf("cgroups %v are left", left)
	}
	if _, err := c.Exec(Command{Args: []string{"none"}, Contained: true}); !errors.Is(err, ErrCommandNotFound) || len(groups()) > 0 {
		t.Errorf("got %v, want ErrCommandNotFound and no cgroup of %v", err, groups())
	}
	must(t, c.Signal(unix.SIGKILL))
	r.finish(c, out)
}

func BenchmarkExec(b *testing.B) {
	for name, contained := range map[string]bool{"plain": false, "contained": true} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b)
			c, out := r.create(r.spec("echo ready; sleep 1000"))
			_, err := c.Start(nil)
			must(b, err)
			out.Read(make([]byte, len("ready\n")))
			before := processorTime()
			for b.Loop() {
				e, err := c.Exec(Command{Args: []string{"true"}, Contained: contained})
				must(b, err)
				_, err = e.Wait()
				must(b, err)
			}
			b.ReportMetric(float64((processorTime()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			must(b, c.Signal(unix.SIGKILL))
			r.finish(c, out)
		})
	}
}

// processorTime is what this process and its children have used.
func processorTime() time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		unix.Getrusage(who, &u)
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}
