package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNamespaces(t *testing.T) {
	tests := []struct {
		name        string
		hostNetwork bool
		hostIPC     bool
		ownUsers    bool
		pause       []string // the namespaces that pause has of its own
		monitor     []string
	}{
		{"own network", false, false, false, []string{"net", "ipc", "uts", "mnt"}, []string{"mnt"}},
		{"host network", true, false, false, []string{"ipc", "uts", "mnt"}, []string{"mnt"}},
		{"host ipc", false, true, false, []string{"net", "uts", "mnt"}, []string{"mnt"}},
		{"own users", false, false, true, []string{"net", "ipc", "uts", "mnt"}, []string{"mnt"}},
	}
	host, err := os.Hostname()
	must(t, err)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBox(t, func(c *Config) {
				c.HostNetwork, c.HostIPC = test.hostNetwork, test.hostIPC
				if test.ownUsers {
					users, err := ReserveUsers(0)
					must(t, err)
					t.Cleanup(func() { users.Close() })
					c.Users = users
				}
				if test.hostNetwork {
					c.Hostname = ""
				}
			})
			monitor := b.ask("facts").Facts
			for _, kind := range namespaceKinds {
				ours := readlink(t, "/proc/self/ns/"+kind)
				path := fmt.Sprintf("/proc/%d/ns/%s", b.pause.pid, kind)
				if got, want := readlink(t, path) != ours, has(test.pause, kind); got != want {
					t.Errorf("pause has a %s namespace of its own: got %v, want %v", kind, got, want)
				}
				if got, want := monitor.Namespaces[kind] != ours, has(test.monitor, kind); got != want {
					t.Errorf("the monitor has a %s namespace of its own: got %v, want %v", kind, got, want)
				}
			}
			if got, want := monitor.Namespaces["mnt"], readlink(t, NamespacePath(b.pause.pid, "mnt")); got != want {
				t.Errorf("the monitor's mounts: got %s, want pause's %s", got, want)
			}
			for _, kind := range []string{"net", "ipc", "uts"} {
				if got, want := ownerOf(t, NamespacePath(b.pause.pid, kind)) != ownerOf(t, "/proc/self/ns/"+kind), test.ownUsers; got != want {
					t.Errorf("the pod's %s belongs to another user namespace: got %v, want %v", kind, got, want)
				}
			}
			if monitor.Hostname != host {
				t.Errorf("the monitor's hostname: got %q, want the machine's %q", monitor.Hostname, host)
			}
			want := "boxed"
			if test.hostNetwork {
				want = host
			}
			if got := hostnameOf(t, b.pause.pid); got != want {
				t.Errorf("the pod's hostname: got %q, want %q", got, want)
			}
			if again, _ := os.Hostname(); again != host {
				t.Errorf("the machine's hostname has become %q", again)
			}
		})
	}
}

// ownerOf is the user namespace that a namespace belongs to (ioctl_ns(2)).
func ownerOf(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	fd, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
	must(t, err)
	defer unix.Close(fd)
	return readlink(t, fmt.Sprintf("/proc/self/fd/%d", fd))
}

func has(list []string, s string) bool {
	return strings.Contains(" "+strings.Join(list, " ")+" ", " "+s+" ")
}

func hostnameOf(t *testing.T, pid int) string {
	t.Helper()
	out, err := exec.Command("nsenter", "--uts="+NamespacePath(pid, "uts"), "hostname").Output()
	must(t, err)
	return strings.TrimSpace(string(out))
}

// Mounts of the machine reach the pod; those of the pod stay there.
func TestMountPropagation(t *testing.T) {
	shared := filepath.Join(t.TempDir(), "shared")
	must(t, os.Mkdir(shared, 0o755))
	must(t, unix.Mount(shared, shared, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(shared, unix.MNT_DETACH)) })
	must(t, unix.Mount("", shared, "", unix.MS_SHARED, ""))
	for _, dir := range []string{"host", "pod"} {
		must(t, os.Mkdir(filepath.Join(shared, dir), 0o755))
	}
	b := newBox(t, nil)
	b.ask("mount", filepath.Join(shared, "pod"))
	must(t, unix.Mount("test", filepath.Join(shared, "host"), "tmpfs", 0, ""))

	ours, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	theirs, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", b.pause.pid))
	must(t, err)
	for _, test := range []struct {
		dir         string
		ours, there bool
	}{{"host", true, true}, {"pod", false, true}} {
		mounted := " " + filepath.Join(shared, test.dir) + " "
		if got := strings.Contains(string(ours), mounted); got != test.ours {
			t.Errorf("%s is mounted on the machine: got %v, want %v", test.dir, got, test.ours)
		}
		if got := strings.Contains(string(theirs), mounted); got != test.there {
			t.Errorf("%s is mounted in the pod: got %v, want %v", test.dir, got, test.there)
		}
	}
	for line := range strings.Lines(string(theirs)) {
		if strings.Contains(line, " shared:") {
			t.Errorf("a mount of the pod is shared: %s", line)
		}
	}
}

// Neither pause nor monitor has anything of the caller's.
func TestNothingIsInherited(t *testing.T) {
	t.Chdir(t.TempDir())
	defer unix.Umask(unix.Umask(0))
	t.Setenv("CALLERS", "own")
	for range 20 { // without close-on-exec, as a shell's redirections are
		fd, err := unix.Open("/dev/zero", unix.O_RDONLY, 0)
		must(t, err)
		defer unix.Close(fd)
	}
	b := newBox(t, nil)
	monitor := b.ask("facts").Facts
	pause := b.pause.pid

	if got, want := strings.Join(monitor.Env, " "), "ONE=1 TWO=2"; got != want {
		t.Errorf("the monitor's environment: got %q, want %q", got, want)
	}
	for number, target := range monitor.Files {
		if number > 6 && !strings.HasPrefix(target, "anon_inode:[") && !strings.HasPrefix(target, "/proc/") && !strings.HasPrefix(target, "/sys/fs/cgroup/cpu") { // the Go runtime's own
			t.Errorf("the monitor starts with descriptor %d, %s", number, target)
		}
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pause))
	must(t, err)
	for _, e := range files {
		if target := readlink(t, fmt.Sprintf("/proc/%d/fd/%s", pause, e.Name())); target == "/dev/zero" {
			t.Errorf("pause has descriptor %s, %s", e.Name(), target)
		}
	}
	// 0 to 2, signals, the monitor's socket, lock, control, mounts, net, uts, ipc.
	if len(files) != 11 {
		t.Errorf("pause has %d descriptors, want 11", len(files))
	}
	for who, pid := range map[string]int{"pause": pause, "monitor": monitor.PID} {
		if got := readlink(t, fmt.Sprintf("/proc/%d/cwd", pid)); got != "/" {
			t.Errorf("%s works in %q", who, got)
		}
		if got := procField(t, pid, "Umask"); got != "0022" {
			t.Errorf("%s has umask %s", who, got)
		}
		if session, err := unix.Getsid(pid); session != pause || err != nil {
			t.Errorf("%s is in session %d (%v), want %d", who, session, err, pause)
		}
		for fd, want := range []string{os.DevNull, os.DevNull, b.log} {
			if got := readlink(t, fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); got != want {
				t.Errorf("%s has %s as descriptor %d, want %s", who, got, fd, want)
			}
		}
	}
}

func TestSignals(t *testing.T) {
	b := newBox(t, nil)
	first := b.ask("facts").Facts
	monitor := first.PID
	if first.Blocked != "0000000000000000" {
		t.Errorf("the monitor starts with blocked signals: %s", first.Blocked)
	}
	for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGPIPE, unix.SIGALRM} {
		must(t, unix.Kill(b.pause.pid, s))
	}
	if again := b.ask("facts").Facts.PID; again != monitor {
		t.Errorf("the monitor is another one")
	}
	select {
	case err := <-b.pause.Failed():
		t.Errorf("a signal ended pause: %v", err)
	default:
	}
}

func TestTitle(t *testing.T) {
	b := newBox(t, nil)
	b.ask("facts")
	for file, want := range map[string]string{"cmdline": "podrun: pod test/" + b.uid, "comm": "podrun-pause\n"} {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", b.pause.pid, file))
		must(t, err)
		if got := strings.TrimRight(string(data), "\x00"); got != want {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
}

func TestLeafIsJoined(t *testing.T) {
	b := newBox(t, nil)
	got := b.ask("facts").Cgroup
	pause := func() string {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", b.pause.pid))
		must(t, err)
		return string(data)
	}
	for _, dir := range directories(b.leaf()) {
		group := strings.TrimPrefix(dir, "/sys/fs/cgroup")
		if !isMember(got, group) {
			t.Errorf("the monitor is not in %s:\n%s", dir, got)
		}
		soon(t, "pause is in "+dir, func() bool { return isMember(pause(), group) })
	}
}

func TestInMounts(t *testing.T) {
	b := newBox(t, nil)
	b.ask("facts")
	ours := readlink(t, "/proc/self/ns/mnt")
	pod, err := os.Open(NamespacePath(b.pause.pid, "mnt"))
	must(t, err)
	defer pod.Close()
	want := readlink(t, NamespacePath(b.pause.pid, "mnt"))
	err = InMounts(pod, func() error {
		if got := readlink(t, "/proc/thread-self/ns/mnt"); got != want {
			t.Errorf("the thread is in %s, want %s", got, want)
		}
		out, err := exec.Command("readlink", "/proc/self/ns/mnt").Output()
		if got := strings.TrimSpace(string(out)); got != want {
			t.Errorf("its child is in %s (%v), want %s", got, err, want)
		}
		return errors.New("told")
	})
	if err == nil || err.Error() != "told" {
		t.Errorf("got error %v, want that of the function", err)
	}
	if got := readlink(t, "/proc/self/ns/mnt"); got != ours {
		t.Errorf("the process has gone to %s", got)
	}
	null, err := os.Open(os.DevNull)
	must(t, err)
	defer null.Close()
	if err := InMounts(null, func() error { return nil }); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a file that is no namespace: got %v", err)
	}
}
