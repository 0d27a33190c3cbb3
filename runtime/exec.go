package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/utils"
	"golang.org/x/sys/unix"

	"podrun/step"
)

// Command is one more process of a running container, with the user,
// environment and directory of its first.
type Command struct {
	Args                  []string
	Stdin, Stdout, Stderr *os.File // pipes or files that the container may hold; unused with TTY
	TTY                   bool
	Width, Height         uint16 // of the terminal
	// Contained keeps the command and its children together, so that KillAll
	// ends them all.
	Contained bool
}

// Execution is a running Command, a child of this process.
type Execution struct {
	process *libcontainer.Process
	group   *execGroup // of a contained one
	// Console is the master end of the terminal, where one was asked for. The
	// caller closes it.
	Console *os.File
}

// Exec starts a command in the container.
func (c *Container) Exec(cmd Command) (*Execution, error) {
	first, err := c.firstProcess()
	if err != nil {
		return nil, err
	}
	p := &libcontainer.Process{
		Args: cmd.Args, Env: first.Env, Cwd: first.Cwd,
		UID: first.UID, GID: first.GID, AdditionalGroups: first.Groups,
	}
	e := &Execution{process: p}
	if !cmd.TTY {
		std := Streams{cmd.Stdin, cmd.Stdout, cmd.Stderr}
		if std.Stdin == nil {
			if std.Stdin, err = c.null(); err != nil {
				return nil, err
			}
			defer std.Stdin.Close()
		}
		std.giveTo(p)
		if err := c.ownStreams(std); err != nil {
			return nil, err
		}
		return e, c.start(e, cmd)
	}
	p.ConsoleWidth, p.ConsoleHeight = cmd.Width, cmd.Height
	p.Env = append(p.Env[:len(p.Env):len(p.Env)], "TERM=xterm")
	e.Console, err = withConsole(p, func() error { return c.start(e, cmd) })
	return e, err
}

// start starts the command, in a cgroup of its own if it is to have one.
func (c *Container) start(e *Execution, cmd Command) (err error) {
	if !cmd.Contained {
		return c.startExec(e.process)
	}
	if e.group, err = c.newExecGroup(); err != nil {
		return err
	}
	e.process.SubCgroupPaths = map[string]string{e.group.controller: e.group.name}
	if err := c.startExec(e.process); err != nil {
		e.group.dissolve()
		return err
	}
	return nil
}

func (c *Container) startExec(p *libcontainer.Process) error {
	defer step.Change("start command")()
	if err := c.whereRootIs(func() error { return c.lc.Start(p) }); err != nil {
		reapStrays()
		if phase, perr := c.Phase(); perr == nil && phase == Gone {
			return errors.New("the container is not running")
		}
		return plain(err, p.Args[0])
	}
	return nil
}

func (c *Container) firstProcess() (*process, error) {
	data, err := os.ReadFile(filepath.Join(c.dir, processFile))
	if err != nil {
		return nil, fmt.Errorf("find the container's user: %w", err)
	}
	var p process
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("find the container's user: %w", err)
	}
	return &p, nil
}

// withConsole starts p with a terminal and returns the master end. A process
// whose terminal does not come is ended.
func withConsole(p *libcontainer.Process, start func() error) (*os.File, error) {
	parent, child, err := utils.NewSockPair("console")
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	defer child.Close()
	p.ConsoleSocket = child
	if err := start(); err != nil {
		return nil, err
	}
	console, err := receiveConsole(parent)
	if err != nil {
		p.Signal(unix.SIGKILL)
		p.Wait()
		return nil, fmt.Errorf("receive the terminal: %w", err)
	}
	return console, nil
}

func receiveConsole(socket *os.File) (*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	name := make([]byte, 4096)
	_, oobn, _, _, err := unix.Recvmsg(int(socket.Fd()), name, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return nil, errors.New("no descriptor came")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.New("no descriptor came")
	}
	// Non-blocking, so that reads of it end when it is closed.
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fds[0]), "console"), nil
}

// Wait returns the command's exit once it has ended. What a contained one has
// left running is the container's from then on.
func (e *Execution) Wait() (Exit, error) {
	state, err := e.process.Wait()
	if e.group != nil {
		e.group.dissolve()
	}
	if state == nil {
		return Exit{}, fmt.Errorf("wait for the command: %w", err)
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return Exit{Code: 128 + int(status.Signal()), Signal: int(status.Signal())}, nil
	}
	return Exit{Code: state.ExitCode()}, nil
}

// Signal sends a signal to the command.
func (e *Execution) Signal(s unix.Signal) error { return e.process.Signal(s) }

// KillAll ends a contained command with all that has come of it, unless it has
// ended.
func (e *Execution) KillAll() error { return e.group.kill() }
