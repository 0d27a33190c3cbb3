package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
	v1 "k8s.io/api/core/v1"

	"podrun/monitor"
	"podrun/state"
)

func attachCommand(a *app) *cli.Command {
	var namespace, container string
	var stdin, tty bool
	return &cli.Command{
		Name:      "attach",
		Usage:     "join the standard files of a running container",
		ArgsUsage: "POD",
		Description: "Shows what the container prints from now on, and with -i passes it standard input, which its manifest has to ask\n" +
			"for (stdin: true). Ends with the container, with its exit code; Ctrl-C, or with -t Ctrl-P Ctrl-Q, leaves it alone.",
		Flags: []cli.Flag{
			namespaceFlag(&namespace),
			containerFlag(&container),
			&cli.BoolFlag{Name: "stdin", Aliases: []string{"i"}, Destination: &stdin, Usage: "pass standard input"},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Destination: &tty, Usage: "standard input is a terminal, and so is the container's"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("attach needs one pod: podrun attach POD")
			}
			store, f, err := a.pod(namespace, c.Args().First())
			if err != nil {
				return err
			}
			p := f.Pod()
			if hasEnded(p) {
				return notRunning(p)
			}
			if container, err = a.pickContainer(p, container); err != nil {
				return err
			}
			s := attaching{app: a, store: store, found: f, container: container, stdin: stdin, tty: tty}
			return s.run(c.Context)
		},
	}
}

// attaching is one attach, which may outlive monitors.
type attaching struct {
	*app
	store      *state.Store
	found      *monitor.Found
	container  string
	stdin, tty bool

	passing  sync.Once
	detached chan struct{} // closed when the user has typed the keys that leave the container

	mu    sync.Mutex
	at    *monitor.Attachment // the present one, or nil
	input *os.File            // the container's, which the first attachment has brought
	over  bool                // nothing more will come for it
}

func (s *attaching) run(ctx context.Context) error {
	s.tty = s.tty && s.offersTerminal(s.stdin)
	s.detached = make(chan struct{})
	defer s.closeInput()
	for again := false; ; again = true {
		at, err := monitor.AttachTo(ctx, s.store, s.found.UID, monitor.Attach{Container: s.container, Stdin: s.wantsInput()})
		if err != nil {
			return s.explain(ctx, err)
		}
		if again {
			s.notef("the pod has a new monitor: what the container has printed meanwhile is in its logs\n")
		}
		if err := s.show(ctx, at); err != nil || ctx.Err() != nil {
			return ignoreInterrupt(ctx, err)
		}
		code, ended, err := s.exit(ctx, at.Attempt)
		if err != nil || ended {
			if err == nil && code != 0 {
				err = &exitError{code: code}
			}
			return ignoreInterrupt(ctx, err)
		}
	}
}

// errDetached: the user has typed the keys that leave the container.
var errDetached = errors.New("detached")

func ignoreInterrupt(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, errDetached) {
		return nil
	}
	return err
}

func (s *attaching) explain(ctx context.Context, err error) error {
	p := s.found.Pod()
	var not *monitor.NotAttachable
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.As(err, &not):
		return fmt.Errorf("attach to pod %s: %w", displayName(p), err)
	case errors.Is(err, monitor.ErrNoMonitor):
		return notRunning(p)
	}
	return err
}

// show copies until the output ends or the user leaves.
func (s *attaching) show(ctx context.Context, at *monitor.Attachment) error {
	s.join(at)
	defer s.leave(at)
	raw := s.tty
	if raw && !at.TTY {
		s.notef("Unable to use a TTY - container %s did not allocate one\n", s.container)
		raw = false
	}
	if raw {
		s.notef("If you don't see a command prompt, try pressing enter.\n")
		in := int(s.In.Fd())
		before, err := term.MakeRaw(in)
		if err != nil {
			return fmt.Errorf("set the terminal: %w", err)
		}
		defer term.Restore(in, before)
		defer forwardSize(in, s.input)()
		sizeOf(in, s.input)
	}
	if s.stdin {
		s.passing.Do(func() { go s.pass(raw) })
	}
	stdout, stderr := s.Out, s.Err
	if !raw { // then it is a log that is followed
		stdout, stderr = logTo(s.Out), logTo(s.Err)
	}
	var copies sync.WaitGroup
	copies.Go(func() { io.Copy(stdout, at.Stdout) })
	copies.Go(func() { io.Copy(stderr, at.Stderr) })
	ended := make(chan struct{})
	go func() { copies.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-s.detached:
		return errDetached
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pass gives the user's input to the container, through all attachments.
func (s *attaching) pass(raw bool) {
	var in io.Reader = s.In
	if raw {
		in = &detachReader{from: s.In}
	}
	if _, err := io.Copy(s.input, in); errors.Is(err, errDetached) {
		close(s.detached)
		return
	}
	if !raw {
		s.endInput()
	}
}

// join makes at the present attachment. The container's input outlives monitors,
// and so does what the first attachment has brought of it.
func (s *attaching) join(at *monitor.Attachment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = at
	switch {
	case at.Stdin == nil:
	case s.over:
		at.CloseStdin()
	case s.input == nil:
		s.input, at.Stdin = at.Stdin, nil
	}
}

func (s *attaching) leave(at *monitor.Attachment) {
	s.mu.Lock()
	s.at = nil
	s.mu.Unlock()
	at.Close()
}

// wantsInput: what has ended need not be there any more.
func (s *attaching) wantsInput() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stdin && !s.over
}

// endInput tells the container's monitor that nothing more will come.
func (s *attaching) endInput() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.input.Close()
	if s.at != nil {
		s.at.CloseStdin()
	}
}

func (s *attaching) closeInput() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.input != nil {
		s.input.Close()
	}
}

// exitWait is how long the end of the output is ahead of the exit's record, at most.
const exitWait = time.Second

// exit is the container's exit code. It has not ended where the output did
// because the monitor died.
func (s *attaching) exit(ctx context.Context, attempt int) (code int, ended bool, err error) {
	wait, cancel := context.WithTimeout(ctx, exitWait)
	defer cancel()
	err = monitor.Ask(wait, s.store, s.found.UID, monitor.Request{}, func(u monitor.Update) bool {
		if u.Status != nil {
			code, ended = exitOf(containerStatus(u.Status, s.container), attempt)
		}
		return !ended && !u.Ended
	})
	if errors.Is(err, monitor.ErrNoMonitor) || errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	if !ended {
		f, ferr := monitor.Find(s.store, s.found.Ref)
		if ferr != nil { // the pod has gone with its container
			return 0, true, nil
		}
		code, ended = exitOf(containerStatus(&f.Status.Status, s.container), attempt)
	}
	return code, ended, err
}

// exitOf finds the end of one attempt in a status.
func exitOf(st *v1.ContainerStatus, attempt int) (code int, ended bool) {
	switch {
	case st == nil:
	case st.State.Terminated != nil && int(st.RestartCount) == attempt:
		return int(st.State.Terminated.ExitCode), true
	case st.LastTerminationState.Terminated != nil && int(st.RestartCount) >= attempt && st.State.Running == nil,
		st.LastTerminationState.Terminated != nil && int(st.RestartCount) > attempt:
		return int(st.LastTerminationState.Terminated.ExitCode), true
	}
	return 0, false
}
