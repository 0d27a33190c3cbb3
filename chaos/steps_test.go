package chaos

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"podrun/ground"
)

const (
	killClass     = "kill -9 at every step"
	walkersAtOnce = 4 // most of a session is waiting for the kernel
)

// A walk is a session at the shell that is repeated for every step that some
// process of podrun passes in it (package step): each time the process that comes to
// that step is killed there.
type walk struct {
	name    string
	files   map[string]string
	session func(*session)
	newOnly bool     // leave out changes that earlier walks have been killed at
	during  int      // only steps that are passed with this command of the session; 0 is all
	twice   bool     // kill the next monitor at the same step, where it comes to that
	random  int      // so many times, kill three monitors at steps of any kind instead
	keepers bool     // kill who keeps the sandbox: pause, and the first process of a shared PID namespace; else all others
	only    []string // all steps of these changes, and no others; none is all
}

var (
	every = flag.Bool("every", false, "walk all steps of all sessions, also those that have been walked in another")
	brief = flag.Bool("brief", false, "kill once at each change, whoever makes it")
	order = flag.String("order", "", "kill at these `STEPS` instead of walking, one process after the other, with commas between them; or in several sessions, with semicolons")
)

// walkers are the grounds on which sessions are played, one on each at a time.
type walkers struct {
	*testing.T
	binary string
	free   chan *walkGround
	seen   map[string]bool // changes of the walks so far
}

func newWalkers(t *testing.T) *walkers {
	binary, err := stepsBinary()
	if err != nil {
		t.Fatal(err)
	}
	pushWalkedImage(t)
	all := &walkers{T: t, binary: binary, free: make(chan *walkGround, walkersAtOnce), seen: map[string]bool{}}
	for range walkersAtOnce {
		all.free <- newWalkGround(t, binary)
	}
	return all
}

// ready are the grounds for a new walk: each finds out what stays after a session of it.
func (all *walkers) ready() {
	for range walkersAtOnce {
		g := <-all.free
		g.stays = nil
		all.free <- g
	}
}

// run walks all steps.
func (w walk) run(t *testing.T, walkers *walkers) {
	walkers.ready()
	grounds := walkers.free
	first := <-grounds
	var steps []killStep
	ok := t.Run("nothing", func(t *testing.T) {
		w.once(t, first, killStep{})
		first.stays = first.files(t) // what stays for ever, such as the directory of a namespace
		w.once(t, first, killStep{})
		steps = first.passed(t)
		walked.pass(steps)
	})
	grounds <- first
	if !ok {
		return
	}
	var all sync.WaitGroup
	chosen := w.chosen(t, steps, walkers.seen)
	t.Logf("%d deaths of %d", len(chosen), len(steps))
	for _, step := range chosen {
		g := <-grounds
		all.Go(func() {
			defer func() { grounds <- g }()
			if !t.Run(step.String(), func(t *testing.T) { w.kill(t, g, step) }) && !g.clear() {
				g = newWalkGround(walkers.T, walkers.binary)
			}
		})
	}
	all.Wait()
}

// takes tells whether the walk has the process killed that comes to the step.
func (w walk) takes(s killStep, seen map[string]bool) bool {
	switch {
	case s.ofKeeper() != w.keepers, w.during != 0 && w.during != s.passed:
		return false
	case len(w.only) > 0:
		return slices.Contains(w.only, s.name())
	}
	return *every || !seen[s.change()] || !w.newOnly && !*brief
}

// chosen are the steps to be killed at.
func (w walk) chosen(t *testing.T, steps []killStep, seen map[string]bool) []killStep {
	var chosen, monitors []killStep
	for _, s := range steps {
		if w.takes(s, seen) {
			chosen = append(chosen, s)
			if *brief {
				seen[s.change()] = true
			}
		}
		if strings.HasPrefix(s.line, "monitor/") && s.command == 0 {
			monitors = append(monitors, s)
		}
	}
	for _, s := range chosen {
		seen[s.change()] = true
	}
	switch {
	case *order != "":
		chosen = nil
		for one := range strings.SplitSeq(*order, ";") {
			chosen = append(chosen, killStep{line: strings.ReplaceAll(one, ",", "\n")})
		}
		return chosen
	case *brief:
	case w.twice:
		for i, s := range monitors {
			monitors[i].line = s.line + "\n" + s.line
		}
		return monitors
	case w.random > 0:
		chosen = nil
		r := dice(t)
		for range w.random {
			any := func() string { return monitors[r.IntN(len(monitors))].line }
			chosen = append(chosen, killStep{line: any() + "\n" + any() + "\n" + any()})
		}
	}
	return chosen
}

// kill is a session with one death.
func (w walk) kill(t *testing.T, g *walkGround, step killStep) {
	if g.stays == nil {
		w.once(t, g, killStep{})
		g.stays = g.files(t)
	}
	const tries = 2 // the goroutines of a process do not always go the same way
	for range tries {
		w.once(t, g, step)
		left, err := os.ReadFile(g.order())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		lines := strings.Split(step.line, "\n")
		if killed := lines[:len(lines)-strings.Count(string(left), "\n")]; len(killed) > 0 {
			tally(killClass, "steps killed", len(killed))
			walked.note(killed...)
			return
		}
	}
	t.Log("not reached again")
	tally(killClass, "not reached again", 1)
}

// once plays the session.
func (w walk) once(t *testing.T, g *walkGround, step killStep) {
	for _, file := range []string{g.trace(), g.order()} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := g.makeWorld(); err != nil {
		t.Fatal(err)
	}
	for name, text := range w.files {
		g.Write(t, name, strings.NewReplacer("GROUND", g.Dir, "PORT", strconv.Itoa(g.port), "IMAGE", walkedImage).Replace(text))
	}
	s := &session{T: t, g: g, step: step}
	s.arm(0)
	w.session(s)
	s.endsClean()
}

// session is one way through a walk.
type session struct {
	*testing.T
	g        *walkGround
	step     killStep
	armed    bool // the order to kill was given
	commands int
	through  []string // what podrun is executed by
}

// arm gives the order to kill, if this is the time.
func (s *session) arm(command int) {
	s.Helper()
	if s.step.line == "" || s.step.command != command {
		return
	}
	s.armed = true
	if err := os.WriteFile(s.g.order(), []byte(s.step.line+"\n"), 0o600); err != nil {
		s.Fatal(err)
	}
}

// begin notes that the next command begins.
func (s *session) begin() {
	s.Helper()
	trace, err := os.OpenFile(s.g.trace(), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		_, err = trace.WriteString(commandLine + "\n")
		err = errors.Join(err, trace.Close())
	}
	if err != nil {
		s.Fatal(err)
	}
	s.commands++
	s.arm(s.commands)
}

// commandTime is how long any command of a session may take.
const commandTime = 2 * time.Minute

// stepped is podrun that writes down its steps.
func (s *session) stepped(args ...string) *exec.Cmd {
	cmd := s.g.Command(args...)
	if len(s.through) > 0 {
		cmd = exec.Command(s.through[0], append(slices.Clone(s.through[1:]), cmd.Args...)...)
		cmd.Env, cmd.Dir = append(os.Environ(), s.g.Environment()...), s.g.Dir
	}
	cmd.Env = append(cmd.Env, "PODRUN_STEPS="+s.g.steps())
	return cmd
}

// try runs podrun, and tells whether it was killed at the step.
func (s *session) try(args ...string) (r ground.Result, killed bool) {
	s.Helper()
	var stdout, stderr bytes.Buffer
	cmd := s.stepped(args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	hangs := time.AfterFunc(commandTime, func() { cmd.Process.Signal(syscall.SIGABRT) })
	err := cmd.Wait()
	if !hangs.Stop() {
		s.tellStuck()
		s.Fatalf("podrun %s: no end after %v:\n%s%s", strings.Join(args, " "), commandTime, stdout.String(), stderr.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.Fatal(err)
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	r = ground.Result{Args: args, Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
	return r, status.Signaled() && status.Signal() == syscall.SIGKILL
}

// comesTo runs podrun. A command that was killed, or whose pod has lost pause before
// it was made, is given again: it has to come to what it would have come to.
func (s *session) comesTo(args ...string) ground.Result {
	s.Helper()
	s.begin()
	r, killed := s.try(args...)
	if killed || r.Code != 0 && s.saysWhy(r) {
		if look, _ := s.try("ps", "-A"); look.Code != 0 {
			s.Fatal(look)
		}
		r, _ = s.try(args...)
	}
	return r
}

// saysWhy tells whether a command failed because a keeper was killed, of which it
// has to tell. Of a pod that could not be made nothing is left.
func (s *session) saysWhy(r ground.Result) bool {
	s.Helper()
	if !s.killed() || !s.step.ofKeeper() {
		return false
	}
	switch {
	case strings.Contains(r.Stderr, " cannot be made: "):
		s.endsClean()
	case !strings.Contains(r.Stderr, "'podrun up' again starts it"):
		s.Errorf("it does not say what to do: %s", r)
	}
	return true
}

// killed tells whether somebody was, on the first order.
func (s *session) killed() bool {
	left, _ := os.ReadFile(s.g.order())
	return s.armed && strings.Count(string(left), "\n") < strings.Count(s.step.line+"\n", "\n")
}

// exits runs podrun, which has to exit with the code.
func (s *session) exits(code int, args ...string) string {
	s.Helper()
	r := s.comesTo(args...)
	if r.Code != code {
		s.Fatalf("want exit %d of %s", code, r)
	}
	return r.Stdout
}

// endsClean asserts that the session has left nothing.
func (s *session) endsClean() {
	s.Helper()
	left := s.g.Leaks()
	for start := time.Now(); len(left) > 0 && time.Since(start) < 5*time.Second; left = s.g.Leaks() {
		time.Sleep(20 * time.Millisecond) // what the kernel removes in its own time
	}
	for _, file := range s.g.files(s.T) {
		if s.g.stays != nil && !slices.Contains(s.g.stays, file) {
			left = append(left, "file "+file)
		}
	}
	if len(left) > 0 {
		tally(killClass, "leaks", len(left))
		s.Errorf("left:\n  %s", strings.Join(left, "\n  "))
	}
}

// TestSteps walks all sessions.
func TestSteps(t *testing.T) {
	for _, what := range []string{"steps killed", "not reached again", "lines lost", "leaks"} {
		tally(killClass, what, 0)
	}
	walkers := newWalkers(t)
	for _, w := range walks {
		t.Run(w.name, func(t *testing.T) {
			start := time.Now()
			w.run(t, walkers)
			walked.finish(w.name)
			t.Logf("%v", time.Since(start).Round(time.Second))
		})
	}
	t.Run("all", func(t *testing.T) { wholeWalk(t) })
}
