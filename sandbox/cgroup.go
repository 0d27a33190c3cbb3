package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"
	"golang.org/x/sys/unix"

	"podrun/step"
)

// Cgroup is one group in every hierarchy of the machine, on cgroup v1 and v2 alike.
type Cgroup struct {
	path    string
	manager cgroups.Manager
}

// NewCgroup makes the group, or finds it, and gives it its resources; nil sets none.
func NewCgroup(path string, r *cgroups.Resources) (*Cgroup, error) {
	set := r != nil
	if !set {
		r = &cgroups.Resources{}
	}
	m, err := manager.New(&cgroups.Cgroup{Path: path, Resources: r})
	if err != nil {
		return nil, fmt.Errorf("find the cgroup hierarchies: %w", err)
	}
	defer step.Change("make cgroup")()
	if err := apply(m); err != nil {
		return nil, fmt.Errorf("make cgroup %s: %w", path, err)
	}
	r.SkipDevices = true // the containers' own groups say which devices they may use
	c := &Cgroup{path: path, manager: m}
	if set {
		defer step.Change("limit new cgroup")()
		if err := m.Set(r); err != nil {
			return nil, errors.Join(fmt.Errorf("limit cgroup %s: %w", path, err), RemoveCgroup(path))
		}
	}
	return c, nil
}

// LimitCgroup changes the limits of a group that is there: those that r has.
func LimitCgroup(path string, r *cgroups.Resources) error {
	defer step.Change("limit cgroup")()
	m, err := manager.New(&cgroups.Cgroup{Path: path, Resources: r})
	if err != nil {
		return fmt.Errorf("find the cgroup hierarchies: %w", err)
	}
	if err := m.Set(r); err != nil {
		return fmt.Errorf("limit cgroup %s: %w", path, err)
	}
	return nil
}

// HasCgroup reports whether the group is there.
func HasCgroup(path string) bool { return len(directories(path)) > 0 }

// CountCgroup counts the hierarchies that have the group.
func CountCgroup(path string) int { return len(directories(path)) }

// MemoryUsage is what the processes of the group use, in bytes; 0 where nobody
// counts. On cgroup v1 and v2 alike the cache of files is a part of it.
func MemoryUsage(path string) int64 {
	for _, dir := range directories(path) {
		for _, name := range []string{"memory.current", "memory.usage_in_bytes"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				continue
			}
			n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return 0
}

// Tries of apply. Each time a RemoveInstance has to hit the same few microseconds.
const applyTries = 50

// apply makes the group. Between its parents and itself another pod's
// RemoveInstance may remove the parents, which are empty at that moment.
func apply(m cgroups.Manager) (err error) {
	for range applyTries {
		err = m.Apply(-1)
		// os.MkdirAll gives EEXIST for a directory that went when it looked again.
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrExist) && !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	return err
}

// join makes attr start a process inside the group, where the kernel can
// (cgroup v2, clone3(2)): it spares the wait for an RCU grace period that a
// move costs. The caller closes the file. On v1 it returns nil, and the process
// joins by itself.
func (c *Cgroup) join(attr *syscall.SysProcAttr) (*os.File, error) {
	if c == nil || !cgroups.IsCgroup2UnifiedMode() {
		return nil, nil
	}
	dir, err := os.OpenFile(c.manager.Path(""), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(dir.Fd())
	return dir, nil
}

// procs are the files that a process writes itself into to join.
func (c *Cgroup) procs() []string {
	var files []string
	if c == nil {
		return nil
	}
	for _, dir := range c.manager.GetPaths() {
		files = append(files, filepath.Join(dir, "cgroup.procs"))
	}
	return files
}

// Warm makes the kernel ready for moves between cgroups. The first move after a
// quiet time waits some 12 ms for an RCU grace period (percpu_down_write of
// cgroup_threadgroup_rwsem), those soon after it do not. A move of this process
// to where it is changes nothing and waits as well, off the path of what follows.
func Warm() {
	own, err := cgroups.ParseCgroupFile("/proc/self/cgroup")
	if err != nil {
		return
	}
	for _, top := range hierarchies() {
		path, ok := own[filepath.Base(top)]
		if !ok {
			path = own[""]
		}
		if os.WriteFile(filepath.Join(top, path, "cgroup.procs"), []byte("0"), 0) == nil {
			return
		}
	}
}

// JoinLeaf moves the calling process into the group, where it is not there yet.
// Like Warm it makes the kernel ready for the moves that follow.
func JoinLeaf(path string) error {
	defer step.Change("join cgroup")()
	own, err := cgroups.ParseCgroupFile("/proc/self/cgroup")
	if err != nil {
		return fmt.Errorf("find own cgroups: %w", err)
	}
	if cgroups.IsCgroup2UnifiedMode() && own[""] == path {
		Warm()
		return nil
	}
	for _, dir := range directories(path) {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("join cgroup %s: %w", path, err)
		}
	}
	return nil
}

// LeaveCgroup moves the calling process from the given group to the root of
// each hierarchy, so that the group can be removed.
func LeaveCgroup(path string) error {
	defer step.Change("leave cgroup")()
	for _, dir := range directories(path) {
		file := filepath.Join(strings.TrimSuffix(dir, path), "cgroup.procs")
		if err := os.WriteFile(file, []byte("0"), 0); err != nil {
			return fmt.Errorf("leave cgroup %s: %w", path, err)
		}
	}
	return nil
}

// On v2 the kernel kills a group as a whole (cgroup.kill, Linux 5.14). On v1
// freezing would stop a fork bomb from outrunning the kill, but a frozen group
// does not die before it is thawed: killing goes in rounds, each of which leaves
// fewer that can fork.
const killRounds = 200

// KillCgroup sends SIGKILL to everything in the group and below, in every
// hierarchy, and waits until nothing is left, at most for the given time.
// A group that does not exist is empty.
func KillCgroup(path string, wait time.Duration) error {
	defer step.Change("kill cgroup")()
	deadline := time.Now().Add(wait)
	delay := 500 * time.Microsecond
	for round := 0; ; round++ {
		left := 0
		for _, dir := range directories(path) {
			os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) // v2 only
			left += killBelow(dir)
		}
		if left == 0 {
			return nil
		}
		Thaw(path)
		if round > killRounds && time.Now().After(deadline) {
			return fmt.Errorf("kill cgroup %s: %d processes do not end: they wait for the kernel (a dead disk or network file system?)", path, left)
		}
		time.Sleep(delay)
		delay = min(2*delay, 20*time.Millisecond)
	}
}

// killBelow signals all processes in dir and below and returns their number.
func killBelow(dir string) int {
	n := 0
	for _, p := range processesBelow(dir) {
		if killMember(p.PID, strings.TrimPrefix(p.dir, "/sys/fs/cgroup")) {
			n++
		}
	}
	return n
}

// killMember reports whether pid was in the group.
func killMember(pid int, group string) bool {
	return KillIf(pid, func() bool {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		return err == nil && isMember(string(data), group)
	})
}

// KillIf kills a process that is the one that is meant, and reports whether it was.
// It asks that of the process that it has a hold of: the number may have been used again.
func KillIf(pid int, meant func() bool) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if !meant() {
		return false
	}
	unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	return true
}

// isMember tells whether a process with the given /proc/PID/cgroup is in group,
// a path below /sys/fs/cgroup: of cgroup v1 with the hierarchy in front.
func isMember(groups, group string) bool {
	for line := range strings.Lines(groups) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 || fields[2] == "/" {
			continue
		}
		hierarchy, ok := strings.CutSuffix(group, fields[2])
		if ok && strings.Count(hierarchy, "/") <= 1 {
			return true
		}
	}
	return false
}

// RemoveCgroup removes the group and all below it from every hierarchy. It may
// be called for a group that is not there.
func RemoveCgroup(path string) error {
	defer step.Change("remove cgroup")()
	var errs []error
	for _, dir := range directories(path) {
		if err := removeTree(dir); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeTree removes from the leaves up. A group whose last process is only
// just dying is busy for a moment.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	delay := 200 * time.Microsecond
	for range 40 {
		err = os.Remove(dir)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(delay)
		delay = min(2*delay, 50*time.Millisecond)
	}
	return err
}

// RemoveInstance removes the empty parents that the pods of an instance shared.
func RemoveInstance(instance string) {
	defer step.Change("remove cgroups of the instance")()
	for _, path := range []string{filepath.Join(cgroupTop, instance), cgroupTop} {
		for _, dir := range directories(path) {
			os.Remove(dir) // stays while another pod is in it
		}
	}
}

// directories are the group's directories in the hierarchies that have it.
func directories(path string) []string {
	var dirs []string
	for _, top := range hierarchies() {
		dir := filepath.Join(top, path)
		if info, err := os.Lstat(dir); err == nil && info.IsDir() {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// hierarchies are the tops of the machine's cgroup trees: one on v2.
func hierarchies() []string {
	const top = "/sys/fs/cgroup"
	if cgroups.IsCgroup2UnifiedMode() {
		return []string{top}
	}
	entries, err := os.ReadDir(top)
	if err != nil {
		return nil
	}
	var tops []string
	for _, e := range entries {
		if e.IsDir() { // not the links of cpu to cpu,cpuacct that distributions make
			tops = append(tops, filepath.Join(top, e.Name()))
		}
	}
	return tops
}
