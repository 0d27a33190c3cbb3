package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/cgroups/manager"
	"github.com/opencontainers/runc/libcontainer"
	"golang.org/x/sys/unix"

	"podrun/step"
)

// Streams are a container's standard files; without Stdin it reads the null
// device. With a terminal they are not used.
type Streams struct{ Stdin, Stdout, Stderr *os.File }

// Close closes the caller's copies.
func (s Streams) Close() {
	for _, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		if f != nil {
			f.Close()
		}
	}
}

// Container is one attempt of a container. Methods are safe for concurrent use.
type Container struct {
	// Console is the master end of the terminal of a container that Create has
	// made with one. It belongs to the caller.
	Console *os.File

	dir string // libcontainer's state directory
	lc  *libcontainer.Container
	pid int

	timing  sync.Mutex
	started uint64 // of StartTime; 0 until it is known

	known []byte // what processFile holds
	whole string // stamp of the state when it was last found whole

	execs                   sync.Once // of execBase
	execDir, execController string
}

// process is what Exec needs of the container's first process and libcontainer
// does not keep.
type process struct {
	Identity
	Env []string `json:"env"`
	Cwd string   `json:"cwd"`
}

const processFile = "process.json"

// Create prepares the container of s below the state directory root: everything
// is made, and its first process waits just before it becomes the container's
// program. A *ConfigError says that the spec and the image do not go together.
// What goes wrong half way is undone.
func Create(root string, s *Spec, std Streams) (_ *Container, err error) {
	config, first, err := s.plan()
	if err != nil {
		return nil, err
	}
	done := step.Change("make container")
	lc, err := libcontainer.Create(root, s.ID, config)
	if err != nil {
		return nil, fmt.Errorf("create container: %w", err)
	}
	done()
	defer func() {
		if err != nil {
			err = errors.Join(err, lc.Destroy())
		}
	}()
	dir := filepath.Join(root, s.ID)
	known, err := json.Marshal(process{Identity{first.UID, first.GID, first.AdditionalGroups}, first.Env, first.Cwd})
	if err != nil {
		return nil, err
	}
	done = step.Change("write process of container")
	if err := os.WriteFile(filepath.Join(dir, processFile), known, 0o600); err != nil {
		return nil, err
	}
	done()
	defer step.Change("start container")()
	c := &Container{dir: dir, lc: lc, known: known}
	if s.Container.TTY {
		c.Console, err = withConsole(first, func() error { return lc.Start(first) })
	} else {
		std.giveTo(first)
		if err = c.ownStreams(std); err == nil {
			err = lc.Start(first)
		}
	}
	if err != nil {
		return nil, plain(err, first.Args[0])
	}
	c.pid, err = first.Pid()
	firsts.Store(c.pid, nil)
	return c, err
}

func (s Streams) giveTo(p *libcontainer.Process) {
	// A nil *os.File in an interface is not nil.
	if s.Stdin != nil {
		p.Stdin = s.Stdin
	}
	if s.Stdout != nil {
		p.Stdout = s.Stdout
	}
	if s.Stderr != nil {
		p.Stderr = s.Stderr
	}
}

// A command that cannot be executed is one of these.
var (
	ErrCommandNotFound = errors.New("not found in the image")
	ErrNotExecutable   = errors.New("permission denied: the file in the image is not executable")
	ErrDirectory       = fmt.Errorf("%w: it is a directory", ErrNotExecutable)
)

// plain cuts libcontainer's chain, which crosses a process border as text, down
// to what a user can act on.
func plain(err error, program string) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "executable file not found in $PATH"):
		return fmt.Errorf("exec %q: %w's $PATH", program, ErrCommandNotFound)
	case strings.Contains(text, "stat "+program+": no such file or directory"),
		strings.Contains(text, fmt.Sprintf("exec: %q: no such file or directory", program)):
		return fmt.Errorf("exec %q: %w", program, ErrCommandNotFound)
	case strings.Contains(text, fmt.Sprintf("exec: %q: permission denied", program)):
		return fmt.Errorf("exec %q: %w", program, ErrNotExecutable)
	case strings.Contains(text, fmt.Sprintf("exec: %q: is a directory", program)):
		return fmt.Errorf("exec %q: %w", program, ErrDirectory)
	}
	return fmt.Errorf("start container init: %w", err)
}

// Load finds a container that another process created. ErrNotExist says that it
// was never wholly created.
func Load(root, id string) (*Container, error) {
	lc, err := libcontainer.Load(root, id)
	if errors.Is(err, libcontainer.ErrNotExist) {
		return nil, fmt.Errorf("container %s: %w", id, os.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("load container %s: %w", id, err)
	}
	state, err := lc.State()
	if err != nil {
		return nil, fmt.Errorf("load container %s: %w", id, err)
	}
	c := &Container{dir: filepath.Join(root, id), lc: lc, pid: state.InitProcessPid}
	c.known, _ = os.ReadFile(filepath.Join(c.dir, processFile)) // none: it was never wholly created
	return c, nil
}

// PID of the container's first process, in this PID namespace.
func (c *Container) PID() int { return c.pid }

// Identity is who the container's first process is.
func (c *Container) Identity() (Identity, error) {
	p, err := c.firstProcess()
	if err != nil {
		return Identity{}, err
	}
	return p.Identity, nil
}

// StartTime of the first process in clock ticks since boot. It is asked of
// libcontainer once: that answers nobody while a command is being started, which
// in a frozen container takes until it goes on.
func (c *Container) StartTime() (uint64, error) {
	c.timing.Lock()
	defer c.timing.Unlock()
	if c.started != 0 {
		return c.started, nil
	}
	state, err := c.lc.State()
	if err != nil {
		return 0, err
	}
	c.started = state.InitProcessStartTime
	return c.started, nil
}

// Phase is how far a container is.
type Phase int

const (
	Gone    Phase = iota // its first process has ended
	Waiting              // prepared, not released
	Running
)

// initName is what libcontainer calls a first process that is not yet the
// container's program.
const initName = "runc:[2:INIT]"

// Phase looks at the kernel. The FIFO that libcontainer goes by is removed only
// after the release, so a process killed in between would leave a running
// container that looks like a waiting one.
func (c *Container) Phase() (Phase, error) {
	status, err := c.lc.Status()
	if err != nil {
		return Gone, fmt.Errorf("ask for the status of the container: %w", err)
	}
	switch status {
	case libcontainer.Stopped: // or only the main thread of the first process
		if alive, err := c.lives(); err != nil || !alive {
			return Gone, err
		}
	case libcontainer.Created:
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", c.pid))
		if err == nil && strings.TrimSpace(string(comm)) == initName {
			return Waiting, nil
		}
	}
	return Running, nil
}

// Signal sends a signal to the container's first process. One that is gone is
// no error. libcontainer's own Signal leaves out a process whose main thread has
// ended.
func (c *Container) Signal(s unix.Signal) error {
	defer step.Change("signal container")()
	w, err := c.NewWatch()
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.signal(s); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// OOMKills counts the processes of the container that the kernel killed for memory.
func (c *Container) OOMKills() uint64 {
	state, err := c.lc.State()
	if err != nil {
		return 0
	}
	m, err := manager.NewWithPaths(state.Config.Cgroups, state.CgroupPaths)
	if err != nil {
		return 0
	}
	n, err := m.OOMKillCount()
	if err != nil {
		return 0 // the memory controller is absent, or the group is gone
	}
	return n
}

// endTimeout bounds the wait for a killed container: its processes may hang in
// the kernel for as long as a dead disk does.
const endTimeout = 10 * time.Second

// Destroy kills what is left of the container and removes its cgroup and state.
func (c *Container) Destroy() error {
	defer step.Change("destroy container")()
	if err := c.Signal(unix.SIGKILL); err != nil {
		return fmt.Errorf("kill container: %w", err)
	}
	defer firsts.Delete(c.pid)
	delay := 200 * time.Microsecond
	for deadline := time.Now().Add(endTimeout); ; delay = min(2*delay, 20*time.Millisecond) {
		err := c.lc.Destroy()
		if !errors.Is(err, libcontainer.ErrRunning) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(delay)
	}
}

// Discard removes the state directory of a container that was never wholly
// created, whose processes and cgroup the caller has ended.
func Discard(root, id string) error {
	defer step.Change("discard container")()
	return os.RemoveAll(filepath.Join(root, id))
}

// DiscardAll is Discard for all containers below root.
func DiscardAll(root string) error {
	defer step.Change("discard containers")()
	return os.RemoveAll(root)
}
