package monitor

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"podrun/netns"
	"podrun/sandbox"
	"podrun/state"
)

// made makes all that a teardown finds of a pod whose keepers were killed:
// processes in its cgroups, an address, records, logs and volumes.
func made(t *testing.T, s *state.Store) *state.Record {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("needs root")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r := newRecord(s)
	must(s.Claim(ref.Namespace, ref.Name, uid))
	must(s.WriteRecord(r))
	must(s.WriteStatus(uid, running(), state.Volatile))
	for _, file := range []string{
		filepath.Join(s.RunDir(uid), "containers", "a.0", "state.json"),
		filepath.Join(s.PodDir(uid), "volumes", "data", "file"),
		filepath.Join(s.PodDir(uid), "containers", "a.0", "upper", "file"),
		filepath.Join(r.LogPath(), "a", "0.log"),
	} {
		must(os.MkdirAll(filepath.Dir(file), 0o700))
		must(os.WriteFile(file, []byte("x"), 0o600))
	}
	host := netns.Host{Instance: s.Instance, Subnet: netip.MustParsePrefix(r.Subnet), LinkPrefix: r.LinkPrefix, Addresses: s.AddressDir()}
	_, err := host.Allocate(uid)
	must(err)
	for _, path := range []string{sandbox.LeafPath(s.Instance, uid), sandbox.ContainerPath(s.Instance, uid, "a.0")} {
		_, err := sandbox.NewCgroup(path, nil)
		must(err)
		runIn(t, path)
	}
	return r
}

// runIn leaves a process that ignores SIGTERM in a cgroup.
func runIn(t *testing.T, path string) {
	t.Helper()
	c := exec.Command("sh", "-c", "trap '' TERM; while :; do sleep 1; done")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := c.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("process of %s: got %v, want it killed", path, err)
		}
	})
	groups, err := filepath.Glob("/sys/fs/cgroup/*" + path + "/cgroup.procs")
	if err != nil {
		t.Fatal(err)
	}
	if v2 := "/sys/fs/cgroup" + path + "/cgroup.procs"; len(groups) == 0 {
		groups = []string{v2}
	}
	for _, file := range groups {
		if err := os.WriteFile(file, []byte(strconv.Itoa(c.Process.Pid)), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// left is everything that is still there of the pod.
func left(t *testing.T, s *state.Store) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{
		"/sys/fs/cgroup/podrun/" + s.Instance, "/sys/fs/cgroup/*/podrun/" + s.Instance,
		filepath.Join(s.Root, "pods", "*"), filepath.Join(s.Root, "names", "*", "*"), filepath.Join(s.RunRoot, "pods", "*"), filepath.Join(s.LogDir, "*"),
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, paths...)
	}
	host := netns.Host{Instance: s.Instance, Subnet: netip.MustParsePrefix("10.233.0.0/16"), LinkPrefix: "pmt", Addresses: s.AddressDir()}
	kernel, err := host.Leftovers()
	if err != nil {
		t.Fatal(err)
	}
	return append(found, kernel...)
}

func TestTeardownFromTheRecordOrTheNameAlone(t *testing.T) {
	for name, forget := range map[string]func(*state.Store, *state.Record) *state.Record{
		"with its record": func(_ *state.Store, r *state.Record) *state.Record { return r },
		"without":         func(*state.Store, *state.Record) *state.Record { return nil },
		"half removed": func(s *state.Store, _ *state.Record) *state.Record {
			os.RemoveAll(s.PodDir(uid))
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			td, err := NewTeardown(s, ref, forget(s, made(t, s)))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // what is gone may be removed again
				if err := td.All(); err != nil {
					t.Fatal(err)
				}
				if found := left(t, s); len(found) > 0 {
					t.Errorf("left: %s", strings.Join(found, "\n"))
				}
			}
			if err := td.Alone(); err != nil {
				t.Errorf("of a pod that is not there: got %v", err)
			}
			if found := left(t, s); len(found) > 0 {
				t.Errorf("left: %s", strings.Join(found, "\n"))
			}
		})
	}
}

func TestTeardownsAtOnce(t *testing.T) {
	s := newStore(t)
	td, err := NewTeardown(s, ref, made(t, s))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	failed := make([]error, 6)
	for i := range failed {
		all.Go(func() {
			if i%2 == 0 {
				failed[i] = td.All()
				return
			}
			for failed[i] = td.Alone(); errors.Is(failed[i], state.ErrLocked); failed[i] = td.Alone() {
			}
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Error(err)
	}
	if found := left(t, s); len(found) > 0 {
		t.Errorf("left: %s", strings.Join(found, "\n"))
	}
}

// The sandbox goes, and what outlives it stays.
func TestTeardownOfTheSandbox(t *testing.T) {
	s := newStore(t)
	r := made(t, s)
	td, err := NewTeardown(s, ref, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := td.Sandbox(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(s.PodDir(uid), "pod.json"), filepath.Join(s.PodDir(uid), "volumes", "data", "file"), filepath.Join(r.LogPath(), "a", "0.log")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if groups, _ := filepath.Glob("/sys/fs/cgroup/*/podrun/" + s.Instance); len(groups) > 0 {
		t.Errorf("left: %v", groups)
	}
	if err := td.All(); err != nil {
		t.Fatal(err)
	}
	if found := left(t, s); len(found) > 0 {
		t.Errorf("left: %s", strings.Join(found, "\n"))
	}
}

func TestTeardownAloneKeepsOff(t *testing.T) {
	s := newStore(t)
	r := newRecord(s)
	if err := errors.Join(s.Claim(ref.Namespace, ref.Name, uid), s.WriteRecord(r)); err != nil {
		t.Fatal(err)
	}
	td, err := NewTeardown(s, ref, r)
	if err != nil {
		t.Fatal(err)
	}
	lock := hold(t, s)
	if err := td.Alone(); !errors.Is(err, state.ErrLocked) {
		t.Errorf("of a pod that is kept: got %v, want state.ErrLocked", err)
	}
	if _, err := Relaunch(s, r); !errors.Is(err, state.ErrLocked) {
		t.Errorf("Relaunch of a pod that is kept: got %v, want state.ErrLocked", err)
	}
	lock.Close()
	other := td
	other.Ref.UID = "00000000-0000-4000-8000-000000000000"
	if err := other.Alone(); err != nil {
		t.Errorf("of a uid whose name another has: got %v", err)
	}
	if got, err := s.Lookup(ref.Namespace, ref.Name); err != nil || got != uid {
		t.Errorf("the name has %s, %v, want the other pod", got, err)
	}
	if err := td.Alone(); err != nil {
		t.Fatal(err)
	}
	if _, err := Relaunch(s, r); !errors.Is(err, ErrRemoved) {
		t.Errorf("Relaunch of a pod that was removed: got %v, want ErrRemoved", err)
	}
	if found := left(t, s); len(found) > 0 {
		t.Errorf("left: %s", strings.Join(found, "\n"))
	}
}

// Launch undoes what it has made, and takes nobody's name.
func TestLaunchOfATakenName(t *testing.T) {
	s := newStore(t)
	if err := s.Claim(ref.Namespace, ref.Name, "another"); err != nil {
		t.Fatal(err)
	}
	var claimed *state.ClaimedError
	if _, err := Launch(s, newRecord(s)); !errors.As(err, &claimed) || claimed.UID != "another" {
		t.Errorf("got %v, want a *state.ClaimedError of the other pod", err)
	}
	if err := s.Release(ref.Namespace, ref.Name, "another"); err != nil {
		t.Fatal(err)
	}
	if found := left(t, s); len(found) > 0 {
		t.Errorf("left: %s", strings.Join(found, "\n"))
	}
}

func TestTogetherDoesAllSteps(t *testing.T) {
	done := make([]bool, 3)
	steps := []part{}
	for i := range done {
		steps = append(steps, part{fmt.Sprintf("step %d", i), func() error {
			done[i] = true
			if i == 1 {
				return os.ErrPermission
			}
			return nil
		}})
	}
	err := together(steps)
	if !errors.Is(err, os.ErrPermission) || err.Error() != "step 1: permission denied" {
		t.Errorf("got %v, want the error of step 1", err)
	}
	for i, ok := range done {
		if !ok {
			t.Errorf("step %d was left out", i)
		}
	}
}
