package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"podrun/fence"

	"golang.org/x/sys/unix"
)

// The tests run real pauses on the real kernel. Their monitor is this program
// again (monitor_test.go), which does what a test asks it to.
func TestMain(m *testing.M) {
	if os.Args[0] == monitorTitle {
		os.Exit(monitorMain(os.Args[1:]))
	}
	fence.Around(m, "sandbox", leftovers)
}

// instance keeps the tests' cgroups from those of real pods.
var instance = fmt.Sprintf("test%d", os.Getpid())

// leftovers are this process's mounts, children and descriptors, and cgroups of
// the instance.
func leftovers() []string {
	left := append(fence.Mounts(os.TempDir()), directories(filepath.Join(cgroupTop, instance))...)
	left = append(left, fence.Children()...)
	return append(left, fence.Files("/sys/fs/cgroup")...) // libcontainer's, opened once
}

// box is a sandbox under test.
type box struct {
	testing.TB
	uid     string
	dir     string // for what monitor and test tell each other by files
	control string
	pause   *Pause
	log     string
}

// newBox starts a sandbox and ends the test with the proof that nothing of it is left.
func newBox(t testing.TB, change func(*Config)) *box {
	t.Helper()
	dir := t.TempDir()
	b := &box{
		TB: t, dir: dir, uid: strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")),
		control: filepath.Join(dir, "control"), log: filepath.Join(dir, "monitor.log"),
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: b.control})
	must(t, err)
	defer listener.Close()
	listener.SetUnlinkOnClose(false)
	control, err := listener.File()
	must(t, err)
	defer control.Close()
	lock, err := os.Create(filepath.Join(dir, "lock"))
	must(t, err)
	defer lock.Close()
	log, err := os.Create(b.log)
	must(t, err)
	defer log.Close()
	t.Cleanup(b.remove)
	leaf, err := NewCgroup(b.leaf(), nil)
	must(t, err)
	config := Config{
		Title: Title("test", b.uid), Hostname: "boxed", Leaf: leaf, Lock: lock, Control: control, Log: log,
		Monitor: []string{monitorTitle, "serve", b.leaf(), dir},
		Env:     []string{"ONE=1", "TWO=2"},
	}
	if change != nil {
		change(&config)
	}
	b.pause, err = Start(config)
	must(t, err)
	return b
}

func (b *box) leaf() string { return LeafPath(instance, b.uid) }

// remove is what a teardown does.
func (b *box) remove() {
	log, _ := os.ReadFile(b.log)
	if b.Failed() && len(log) > 0 {
		b.Logf("the monitor said: %s", log)
	}
	if err := KillCgroup(b.leaf(), 5*time.Second); err != nil {
		b.Error(err)
	}
	if b.pause != nil {
		if err := unix.Kill(b.pause.pid, unix.SIGKILL); err == nil {
			<-b.pause.Failed()
		}
	}
	if err := RemoveCgroup(b.leaf()); err != nil {
		b.Error(err)
	}
	RemoveInstance(instance)
	if dirs := directories(b.leaf()); len(dirs) > 0 {
		b.Errorf("cgroups are left: %q", dirs)
	}
	soon(b, "processes with the title of the pod are gone", func() bool { return len(processes(b.uid)) == 0 })
}

// processes are the pids whose command line holds the text.
func processes(text string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		data, _ := os.ReadFile(file)
		if pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file))); bytes.Contains(data, []byte(text)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// ask sends the monitor one request. A monitor that dies over it is no error
// where died is what is asked for.
func (b *box) ask(op string, args ...string) answer {
	b.Helper()
	a, err := b.try(op, args...)
	if err != nil {
		b.Fatalf("%s %q: %v", op, args, err)
	}
	return a
}

func (b *box) try(op string, args ...string) (a answer, err error) {
	conn, err := net.Dial("unix", b.control)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if err := json.NewEncoder(conn).Encode(append([]string{op}, args...)); err != nil {
		return a, err
	}
	return a, json.NewDecoder(conn).Decode(&a)
}

// killMonitor does so and returns when the next one serves.
func (b *box) killMonitor() {
	b.Helper()
	pid := b.ask("facts").Facts.PID
	must(b, unix.Kill(pid, unix.SIGKILL))
	if again := b.ask("facts").Facts.PID; again == pid {
		b.Errorf("monitor %d answers after its death", pid)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func soon(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("after 10 s still not so: %s", what)
			return
		}
	}
}

// procField is a line of /proc/PID/status.
func procField(t testing.TB, pid int, name string) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, rest, _ := strings.Cut(string(data), "\n"+name+":")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

func readlink(t testing.TB, path string) string {
	t.Helper()
	target, err := os.Readlink(path)
	must(t, err)
	return target
}

// sleeper is a child that sleeps and that dies with the test.
func sleeper(t testing.TB) *os.Process {
	t.Helper()
	p, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{Setpgid: true}})
	must(t, err)
	t.Cleanup(func() { p.Kill(); p.Wait() })
	return p
}
