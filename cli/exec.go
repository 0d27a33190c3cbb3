package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"podrun/monitor"
	"podrun/runtime"
	"podrun/sandbox"
)

func execCommand(a *app) *cli.Command {
	var namespace, container string
	var stdin, tty bool
	return &cli.Command{
		Name:      "exec",
		Usage:     "run a command in a container",
		ArgsUsage: "POD -- COMMAND [ARG...]",
		Flags: []cli.Flag{
			namespaceFlag(&namespace),
			containerFlag(&container),
			&cli.BoolFlag{Name: "stdin", Aliases: []string{"i"}, Destination: &stdin, Usage: "pass standard input"},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Destination: &tty, Usage: "give the command a terminal"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() < 2 {
				return usagef("exec needs a pod and a command: podrun exec POD -- COMMAND [ARG...]")
			}
			go sandbox.Warm() // the command will move into the container's cgroup
			target, err := a.running(namespace, c.Args().First(), container)
			if err != nil {
				return err
			}
			x := execution{app: a, container: target, stdin: stdin, args: c.Args().Tail()}
			if tty && a.offersTerminal(stdin) {
				return x.withTerminal()
			}
			return x.withPipes()
		},
	}
}

// offersTerminal: as with kubectl a terminal in a container needs one on this side,
// too. It says so where there is none.
func (a *app) offersTerminal(stdin bool) bool {
	if stdin && a.In != nil && term.IsTerminal(int(a.In.Fd())) {
		return true
	}
	a.notef("Unable to use a TTY - input is not a terminal or the right kind of file\n")
	return false
}

// running finds a container that runs.
func (a *app) running(namespace, pod, name string) (*runtime.Container, error) {
	s, f, err := a.pod(namespace, pod)
	if err != nil {
		return nil, err
	}
	p := f.Pod()
	if name, err = a.pickContainer(p, name); err != nil {
		return nil, err
	}
	st := containerStatus(&p.Status, name)
	if st == nil || st.State.Running == nil {
		return nil, fmt.Errorf("container %s of pod %s/%s is not running (%s)", name, p.Namespace, p.Name, describeState(st))
	}
	c, err := runtime.Load(monitor.StateDir(s, f.UID), monitor.ID(name, int(st.RestartCount)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("container %s of pod %s/%s has just ended", name, p.Namespace, p.Name)
	}
	return c, err
}

// execution is one exec. The command never gets a descriptor of the caller's
// own: through /proc/self/fd it could open the caller's files anew.
type execution struct {
	app       *app
	container *runtime.Container
	stdin     bool
	args      []string
}

func (x execution) withPipes() error {
	var p pipes
	defer p.close()
	cmd := runtime.Command{Args: x.args}
	var err error
	if cmd.Stdout, err = p.to(x.app.Out); err != nil {
		return err
	}
	if cmd.Stderr, err = p.to(x.app.Err); err != nil {
		return err
	}
	if x.stdin {
		if cmd.Stdin, err = p.from(x.app.In); err != nil {
			return err
		}
	}
	e, err := x.container.Exec(cmd)
	p.closeTheirs()
	if err != nil {
		return commandError(err)
	}
	stop := forwardSignals(e)
	defer stop()
	exit, err := e.Wait()
	if err != nil {
		return err
	}
	p.drain()
	return exitWith(exit)
}

func (x execution) withTerminal() error {
	in := int(x.app.In.Fd())
	width, height, err := term.GetSize(in)
	if err != nil {
		width, height = 80, 24
	}
	e, err := x.container.Exec(runtime.Command{Args: x.args, TTY: true, Width: uint16(width), Height: uint16(height)})
	if err != nil {
		return commandError(err)
	}
	defer e.Console.Close()
	before, err := term.MakeRaw(in)
	if err != nil {
		return fmt.Errorf("set the terminal: %w", err)
	}
	defer term.Restore(in, before)
	stop := forwardSize(in, e.Console)
	defer stop()
	go io.Copy(e.Console, x.app.In)
	console := &drained{File: e.Console}
	var output sync.WaitGroup
	output.Go(func() { io.Copy(x.app.Out, console) }) // ends with EIO when the last process has closed the terminal
	exit, err := e.Wait()
	if err != nil {
		return err
	}
	console.finish()
	output.Wait()
	return exitWith(exit)
}

// forwardSize gives the command's terminal the size of the user's.
func forwardSize(from int, to *os.File) (stop func()) {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	go func() {
		for range resized {
			sizeOf(from, to)
		}
	}()
	return func() { signal.Stop(resized); close(resized) }
}

// sizeOf gives one terminal the size of another.
func sizeOf(from int, to *os.File) {
	size, err := unix.IoctlGetWinsize(from, unix.TIOCGWINSZ)
	if err != nil {
		return
	}
	if raw, err := to.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, size) })
	}
}

// forwardSignals passes on what would end the command at a shell.
func forwardSignals(e *runtime.Execution) (stop func()) {
	got := make(chan os.Signal, 4)
	signal.Notify(got, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	go func() {
		for s := range got {
			e.Signal(s.(unix.Signal))
		}
	}()
	return func() { signal.Stop(got); close(got) }
}

func exitWith(e runtime.Exit) error {
	if e.Code == 0 {
		return nil
	}
	return &exitError{code: e.Code}
}

// A command that cannot be executed exits as in a shell.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

func commandError(err error) error {
	switch {
	case errors.Is(err, runtime.ErrCommandNotFound):
		return &exitError{exitNotFound, err}
	case errors.Is(err, runtime.ErrNotExecutable):
		return &exitError{exitNotExecutable, err}
	}
	return err
}
