package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// group is a cgroup of the test's own.
func group(t testing.TB, r *cgroups.Resources) string {
	t.Helper()
	path := PodPath(instance, strings.ToLower(t.Name()))
	t.Cleanup(func() {
		if err := errors.Join(KillCgroup(path, 5*time.Second), RemoveCgroup(path)); err != nil {
			t.Error(err)
		}
		RemoveInstance(instance)
	})
	_, err := NewCgroup(path, r)
	must(t, err)
	return path
}

// sleepIn starts a process in the group.
func sleepIn(t testing.TB, path string) *os.Process {
	t.Helper()
	p := sleeper(t)
	enter(t, path, p.Pid)
	return p
}

func enter(t testing.TB, path string, pid int) {
	t.Helper()
	for _, dir := range directories(path) {
		must(t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0))
	}
}

func TestPaths(t *testing.T) {
	for got, want := range map[string]string{
		PodPath("i", "u"): "/podrun/i/u", ContainerPath("i", "u", "c"): "/podrun/i/u/c", LeafPath("i", "u"): "/podrun/i/u.sandbox",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNewCgroup(t *testing.T) {
	path := group(t, &cgroups.Resources{
		Memory: 64 << 20, CpuShares: 102, CpuWeight: cgroups.ConvertCPUSharesToCgroupV2Value(102), CpuQuota: 50000, CpuPeriod: 100000,
	})
	files := map[string]string{
		"memory/memory.limit_in_bytes": "67108864", "cpu/cpu.shares": "102", "cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000",
	}
	if cgroups.IsCgroup2UnifiedMode() {
		files = map[string]string{"memory.max": "67108864", "cpu.max": "50000 100000", "cpu.weight": "17"}
	}
	for file, want := range files {
		dir, base := filepath.Split(file)
		got, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", dir, path, base))
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s: got %q (%v), want %s", file, got, err, want)
		}
	}
	if _, err := NewCgroup(path, nil); err != nil {
		t.Errorf("a group that is there: %v", err)
	}
	bad := filepath.Join(path, "bad")
	if _, err := NewCgroup(bad, &cgroups.Resources{CpuQuota: 1, CpuPeriod: 100000}); err == nil { // the kernel's minimum is 1000
		t.Error("a quota below the kernel's minimum: no error")
	}
	if left := directories(bad); len(left) > 0 {
		t.Errorf("left of a group that cannot be made: %q", left)
	}
}

func TestJoinAndLeave(t *testing.T) {
	path := group(t, nil)
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{monitorTitle, "cgroups", path, ""}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	must(t, err)
	joined, rest, _ := strings.Cut(string(out), "\x00")
	left, _, _ := strings.Cut(rest, "\x00")
	for _, dir := range directories(path) {
		if !isMember(joined, strings.TrimPrefix(dir, "/sys/fs/cgroup")) {
			t.Errorf("has not joined %s:\n%s", dir, joined)
		}
	}
	if strings.Contains(left, path) {
		t.Errorf("has not left:\n%s", left)
	}
	if err := LeaveCgroup(path + "-none"); err != nil {
		t.Errorf("leave a group that is not there: %v", err)
	}
}

func TestKillCgroup(t *testing.T) {
	path := group(t, nil)
	bystander := sleeper(t)
	var inside []*os.Process
	for _, sub := range []string{"", "a", "a/b", "c"} {
		_, err := NewCgroup(filepath.Join(path, sub), nil)
		must(t, err)
		inside = append(inside, sleepIn(t, filepath.Join(path, sub)))
	}
	must(t, KillCgroup(path, 5*time.Second))
	for _, p := range inside {
		state, err := p.Wait()
		if err != nil || state.String() != "signal: killed" {
			t.Errorf("process %d: %v (%v)", p.Pid, state, err)
		}
	}
	if err := bystander.Signal(unix.Signal(0)); err != nil {
		t.Errorf("a process outside: %v", err)
	}
	must(t, KillCgroup(path, 0)) // empty
	must(t, KillCgroup(path+"-none", 0))
	must(t, RemoveCgroup(path))
	if left := directories(path); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	must(t, RemoveCgroup(path))
}

// Killing in rounds is faster than what the pids controller lets fork.
func TestKillForkBomb(t *testing.T) {
	limit := int64(200)
	path := group(t, &cgroups.Resources{PidsLimit: &limit})
	bomb := exec.Command("sh", "-c", `read go; f() { while :; do f & sleep 0; done; }; f 2>/dev/null`)
	in, err := bomb.StdinPipe()
	must(t, err)
	must(t, bomb.Start())
	enter(t, path, bomb.Process.Pid)
	must(t, in.Close())
	time.Sleep(100 * time.Millisecond)
	if err := KillCgroup(path, 5*time.Second); err != nil {
		t.Error(err)
	}
	bomb.Wait()
}

// A number that was read from the group may be another process's by now.
func TestKillMember(t *testing.T) {
	path := group(t, nil)
	top := "/" + filepath.Base(path) // ends as the path does
	_, err := NewCgroup(top, nil)
	must(t, err)
	t.Cleanup(func() { must(t, RemoveCgroup(top)) })
	inside, outside, namesake := sleepIn(t, path), sleeper(t), sleepIn(t, top)
	t.Cleanup(func() { namesake.Kill(); namesake.Wait() })
	in := strings.TrimPrefix(directories(path)[0], "/sys/fs/cgroup")
	tests := []struct {
		why  string
		p    *os.Process
		want bool
	}{{"of another group", outside, false}, {"of a group whose path ends alike", namesake, false}, {"of the group", inside, true}}
	for _, test := range tests {
		if got := killMember(test.p.Pid, in); got != test.want {
			t.Errorf("a process %s: got %v, want %v", test.why, got, test.want)
		}
		if !test.want {
			if state := procField(t, test.p.Pid, "State"); strings.HasPrefix(state, "Z") {
				t.Errorf("a process %s was killed", test.why)
			}
		}
	}
	inside.Wait()
	if killMember(inside.Pid, in) {
		t.Error("a process that is gone: got true")
	}
}

func TestIsMember(t *testing.T) {
	const v1 = "4:memory:/podrun/i/u\n1:name=systemd:/\n0::/\n"
	tests := []struct {
		groups, group string
		want          bool
	}{
		{v1, "/memory/podrun/i/u", true},
		{v1, "/memory/podrun/i", false},
		{v1, "/memory/podrun/i/u/c", false},
		{v1, "/systemd/", false}, // the root is everybody's
		{"4:memory:/u\n", "/memory/podrun/i/u", false},
		{"0::/podrun/i/u\n", "/podrun/i/u", true},
		{"0::/podrun/i/u\n", "/unified/podrun/i/u", true},
		{"0::/podrun/i/u (deleted)\n", "/podrun/i/u", false},
		{"", "/podrun/i/u", false},
		{"garbage\n", "garbage", false},
	}
	for _, test := range tests {
		if got := isMember(test.groups, test.group); got != test.want {
			t.Errorf("%q in %s: got %v, want %v", test.groups, test.group, got, test.want)
		}
	}
}

// The last pod of an instance takes the parents with it while the next one makes its group.
func TestGroupsInARace(t *testing.T) {
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range 15 {
				path := PodPath(instance, fmt.Sprintf("race-%d-%d", worker, i))
				if _, err := NewCgroup(path, nil); err != nil {
					t.Error(err)
				}
				if err := RemoveCgroup(path); err != nil {
					t.Error(err)
				}
				RemoveInstance(instance)
			}
		})
	}
	all.Wait()
}
