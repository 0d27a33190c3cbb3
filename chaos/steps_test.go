package chaos

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
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
	killClass = "kill -9 at every step"
	walkers   = 4 // sessions at a time: most of one is waiting for the kernel
)

// A walk is a session at the shell that is repeated for every step that some
// process of podrun passes in it (package step): each time the process that comes to
// that step is killed there.
type walk struct {
	name    string
	files   map[string]string
	session func(*session)
	newOnly bool // leave out changes that earlier walks have been killed at
	during  int  // only steps that are passed with this command of the session; 0 is all
	twice   bool // kill the next monitor at the same step, where it comes to that
	random  int  // so many times, kill three monitors at steps of any kind instead
}

var every = flag.Bool("every", false, "walk all steps of all sessions, also those that have been walked in another")

// run walks all steps; seen are the changes of earlier walks.
func (w walk) run(t *testing.T, binary string, seen map[string]bool) {
	grounds := make(chan *walkGround, walkers)
	for range walkers {
		grounds <- newWalkGround(t, binary)
	}
	first := <-grounds
	var steps []killStep
	ok := t.Run("nothing", func(t *testing.T) {
		w.once(t, first, killStep{})
		first.stays = first.files(t) // what stays for ever, such as the directory of a namespace
		w.once(t, first, killStep{})
		steps = first.passed(t)
	})
	grounds <- first
	if !ok {
		return
	}
	var all sync.WaitGroup
	for _, step := range w.chosen(steps, seen) {
		g := <-grounds
		all.Go(func() {
			defer func() { grounds <- g }()
			if !t.Run(step.String(), func(t *testing.T) { w.kill(t, g, step) }) && !g.clear() {
				g = newWalkGround(t, binary)
			}
		})
	}
	all.Wait()
}

// chosen are the steps to be killed at.
func (w walk) chosen(steps []killStep, seen map[string]bool) []killStep {
	var chosen, monitors []killStep
	for _, s := range steps {
		fresh := !w.newOnly || *every || !seen[s.change()]
		if fresh && (w.during == 0 || w.during == s.passed) {
			chosen = append(chosen, s)
		}
		if strings.HasPrefix(s.line, "monitor/") && s.command == 0 {
			monitors = append(monitors, s)
		}
	}
	for _, s := range chosen {
		seen[s.change()] = true
	}
	switch {
	case w.twice:
		for i, s := range monitors {
			monitors[i].line = s.line + "\n" + s.line
		}
		return monitors
	case w.random > 0:
		chosen = nil
		for range w.random {
			any := func() string { return monitors[rand.N(len(monitors))].line }
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
		if killed := strings.Count(step.line+"\n", "\n") - strings.Count(string(left), "\n"); killed > 0 {
			tally(killClass, "steps killed", killed)
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
		g.Write(t, name, strings.NewReplacer("GROUND", g.Dir, "PORT", strconv.Itoa(g.port)).Replace(text))
	}
	s := &session{T: t, g: g, step: step}
	s.arm(0)
	w.session(s)
	s.endsClean()
}

// killStep is a step as package step writes it, or several, a line each, for one
// process after the other. Where a session has several
// processes of one kind, it is the one that ran with the nth command; 0 is any.
type killStep struct {
	line    string
	command int
	passed  int // the command with which it was passed
}

// change is the step without its number: role, name, and before or after.
func (k killStep) change() string {
	parts := strings.Split(k.line, "/")
	return strings.Join(slices.Delete(parts, 2, 3), "/")
}

func (k killStep) String() string { return fmt.Sprintf("%s/%d", k.line, k.command) }

// commandLine stands in a trace where a command of the session begins.
const commandLine = "command"

// passed are the steps of the last session.
func (g *walkGround) passed(t *testing.T) []killStep {
	trace, err := os.ReadFile(g.trace())
	if err != nil {
		t.Fatal(err)
	}
	var steps []killStep
	times := map[string]int{}
	command := 0
	for line := range strings.Lines(string(trace)) {
		line = strings.TrimSpace(line)
		if line == commandLine {
			command++
			continue
		}
		times[line]++
		steps = append(steps, killStep{line, command, command})
	}
	for i := range steps {
		if times[steps[i].line] == 1 {
			steps[i].command = 0
		}
	}
	return steps
}

// walkGround is the ground of many sessions, one after the other.
type walkGround struct {
	*ground.Ground
	stays []string // files that are there after any session
	port  int
}

func newWalkGround(t *testing.T, binary string) *walkGround {
	g := &walkGround{Ground: newGroundOf(t, killClass, binary)}
	if err := os.Mkdir(g.steps(), 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if g.port, err = g.FreePort(); err != nil {
		t.Fatal(err)
	}
	g.Must(t, "image", "import", "--change", "ENV WORD=second", ground.Suite.Rootfs, "second")
	return g
}

func (g *walkGround) steps() string { return filepath.Join(g.Dir, "steps") }
func (g *walkGround) trace() string { return filepath.Join(g.steps(), "trace") }
func (g *walkGround) order() string { return filepath.Join(g.steps(), "kill") }

// clear makes the ground fit for another session after one that has failed, if it can be.
func (g *walkGround) clear() bool {
	os.Remove(g.order())
	g.Run("down", "--all", "--force", "--volumes")
	g.stays = nil
	return len(g.Leaks()) == 0
}

// files are all that podrun has on its disk, but for the images.
func (g *walkGround) files(t *testing.T) []string {
	var found []string
	for _, top := range []string{g.Store.Root, g.Store.RunRoot, g.Store.LogDir} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() && path == g.Store.ImageDir() {
				return fs.SkipDir
			}
			found = append(found, path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// session is one way through a walk.
type session struct {
	*testing.T
	g        *walkGround
	step     killStep
	commands int
}

// arm gives the order to kill, if this is the time.
func (s *session) arm(command int) {
	s.Helper()
	if s.step.line == "" || s.step.command != command {
		return
	}
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

// try runs podrun, and tells whether it was killed at the step.
func (s *session) try(args ...string) (r ground.Result, killed bool) {
	s.Helper()
	var stdout, stderr bytes.Buffer
	cmd := s.g.Command(args...)
	cmd.Env = append(cmd.Env, "PODRUN_STEPS="+s.g.steps())
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	hangs := time.AfterFunc(commandTime, func() { cmd.Process.Signal(syscall.SIGABRT) })
	err := cmd.Wait()
	if !hangs.Stop() {
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

// comesTo runs podrun. A command that was killed is given again: it has to come to
// what it would have come to.
func (s *session) comesTo(args ...string) ground.Result {
	s.Helper()
	s.begin()
	r, killed := s.try(args...)
	if killed {
		if look, _ := s.try("ps", "-A"); look.Code != 0 {
			s.Fatal(look)
		}
		r, _ = s.try(args...)
	}
	return r
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
	binary, err := stepsBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"steps killed", "not reached again", "lines lost", "leaks"} {
		tally(killClass, what, 0)
	}
	seen := map[string]bool{}
	for _, w := range walks {
		t.Run(w.name, func(t *testing.T) {
			start := time.Now()
			w.run(t, binary, seen)
			t.Logf("%v", time.Since(start).Round(time.Second))
		})
	}
}
