package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"

	"podrun/step"
)

// execGroup is a cgroup below the container's that holds one command and all
// that comes of it, also what has left its session and lost its parents.
//
// On cgroup v2 it is an ordinary child: while the container has not delegated
// controllers to children of its own none is on in it, and otherwise it is the
// only place where a process may be. On v1 it exists in one hierarchy, the
// freezer's where there is one: the limits hold for the command where they are.
type execGroup struct {
	name       string
	controller string // the key of libcontainer's SubCgroupPaths
	dir        string

	mu sync.Mutex // a group being killed is not dissolved
}

// execPrefix begins the name of every such group.
const execPrefix = "podrun-exec-"

// execBase finds where the container's execGroups are, once.
func (c *Container) execBase() (dir, controller string, err error) {
	c.execs.Do(func() {
		state, err := c.lc.State()
		if err != nil {
			return
		}
		if cgroups.IsCgroup2UnifiedMode() {
			c.execDir = state.CgroupPaths[""]
			return
		}
		for _, controller := range []string{"freezer", "pids", "memory", "cpu"} {
			if dir, ok := state.CgroupPaths[controller]; ok {
				c.execDir, c.execController = dir, controller
				return
			}
		}
	})
	if c.execDir == "" {
		return "", "", errors.New("find the cgroup of the container: it has none that commands could be told apart by")
	}
	return c.execDir, c.execController, nil
}

func (c *Container) newExecGroup() (*execGroup, error) {
	base, controller, err := c.execBase()
	if err != nil {
		return nil, err
	}
	defer step.Change("make cgroup of a command")()
	dir, err := os.MkdirTemp(base, execPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a cgroup for the command: %w", err)
	}
	return &execGroup{name: filepath.Base(dir), controller: controller, dir: dir}, nil
}

// EndExecs kills the commands that an earlier process of this kind has left in
// the container.
func (c *Container) EndExecs() error {
	base, controller, err := c.execBase()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(base)
	if errors.Is(err, os.ErrNotExist) {
		return nil // the container is gone
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), execPrefix) {
			g := &execGroup{name: e.Name(), controller: controller, dir: filepath.Join(base, e.Name())}
			errs = append(errs, g.kill())
			g.dissolve()
		}
	}
	return errors.Join(errs...)
}

// kill ends all processes of the group and waits until they are gone.
func (g *execGroup) kill() error {
	defer step.Change("kill commands")()
	g.mu.Lock()
	defer g.mu.Unlock()
	delay := 200 * time.Microsecond
	for deadline := time.Now().Add(endTimeout); ; delay = min(2*delay, 20*time.Millisecond) {
		left := g.killOnce()
		if left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("kill the command: %d processes do not end", left)
		}
		time.Sleep(delay)
	}
}

// killOnce signals what is in the group. The kernel does it for the group as a
// whole on v2 (cgroup.kill, Linux 5.14); elsewhere the freezer, where there is
// one, keeps a process from forking faster than it is killed.
func (g *execGroup) killOnce() (left int) {
	if os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0) == nil {
		return len(g.members())
	}
	freezer := filepath.Join(g.dir, "freezer.state")
	os.WriteFile(freezer, []byte("FROZEN"), 0)
	defer step.Change("thaw commands")()
	pids := g.members()
	for _, pid := range pids {
		g.killMember(pid)
	}
	os.WriteFile(freezer, []byte("THAWED"), 0) // what is frozen does not die
	return len(pids)
}

// members are the processes of the group and of groups that they made below it.
func (g *execGroup) members() []int {
	var pids []int
	filepath.WalkDir(g.dir, func(dir string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		data, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for _, word := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// killMember makes sure that the number has not been given to another process.
func (g *execGroup) killMember(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if slices.Contains(g.members(), pid) {
		unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}

// dissolve removes the group of a command that has ended. What the command has
// left running stays in the container, whose own group it joins.
func (g *execGroup) dissolve() {
	defer step.Change("remove cgroup of a command")()
	g.mu.Lock()
	defer g.mu.Unlock()
	delay := 200 * time.Microsecond
	for range 8 {
		err := os.Remove(g.dir)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			return
		}
		for _, pid := range g.members() {
			// Where the container has delegated controllers nothing may join its
			// own group: then this one stays until the container goes.
			os.WriteFile(filepath.Join(filepath.Dir(g.dir), "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
		}
		time.Sleep(delay)
		delay *= 2
	}
}
