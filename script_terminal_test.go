package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"podrun/ground"
)

// openTerminal makes a pseudo terminal: the user's side and the program's.
func openTerminal() (user, program *os.File, err error) {
	if user, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	number, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		program, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		user.Close()
		return nil, nil, os.NewSyscallError("open a terminal", err)
	}
	return user, program, nil
}

// screen is all that was ever shown.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	read int // what expect has seen
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// expect looks for text after what it found last.
func (s *screen) expect(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, after, ok := bytes.Cut(s.text.Bytes()[s.read:], []byte(text))
	if ok {
		s.read = s.text.Len() - len(after)
	}
	return ok
}

// terminal DIALOG COMMAND... runs the command at a terminal, with a user who
// follows the file DIALOG, a line at a time:
//
//	size ROWSxCOLUMNS   sets the window, before the command starts or later
//	expect TEXT         waits until the terminal shows the text
//	type TEXT           types a line
//	key NUMBER          types a control character
//
// What the terminal showed becomes the standard output. With ! the command must fail.
func terminal(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) >= 2, "terminal DIALOG COMMAND...")
	dialog := strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), "\n")
	user, program, err := openTerminal()
	ts.Check(err)
	defer user.Close()
	if first, size, ok := strings.Cut(dialog[0], " "); ok && first == "size" {
		ts.Check(resize(user, size))
		dialog = dialog[1:]
	}
	cmd, err := buildCommand(ts, args[1], args[2:])
	ts.Check(err)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	program.Close()
	ts.Check(err)
	stop := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer stop.Stop()
	var shown screen
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		copyTerminal(&shown, user)
	}()
	for _, line := range dialog {
		if err := follow(line, user, &shown); err != nil {
			cmd.Process.Kill()
			cmd.Wait()
			ts.Fatalf("%v; the terminal shows:\n%s", err, &shown)
		}
	}
	err = cmd.Wait()
	<-ended
	ts.Logf("the terminal shows:\n%s", &shown)
	fmt.Fprint(ts.Stdout(), shown.String())
	if (err != nil) != neg {
		ts.Fatalf("the command ended with %v", err)
	}
}

func buildCommand(ts *testscript.TestScript, name string, args []string) (*exec.Cmd, error) {
	p := here(ts)
	if name == "podrun" {
		name = p.Binary
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(p.Environment(), "TERM=xterm")
	cmd.Dir = ts.MkAbs(".")
	return cmd, cmd.Err
}

// copyTerminal ends with EIO, when the last program has closed its side.
func copyTerminal(to *screen, from *os.File) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		to.Write(buffer[:n])
		if err != nil {
			return
		}
	}
}

func resize(terminal *os.File, size string) error {
	var w unix.Winsize
	if _, err := fmt.Sscanf(size, "%dx%d", &w.Row, &w.Col); err != nil {
		return fmt.Errorf("size %q: want ROWSxCOLUMNS: %w", size, err)
	}
	return os.NewSyscallError("ioctl", unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &w))
}

// follow does one line of a dialog.
func follow(line string, user *os.File, shown *screen) error {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "size":
		return resize(user, rest)
	case "type":
		_, err := user.WriteString(rest + "\n")
		return err
	case "key":
		n, err := strconv.Atoi(rest)
		if err != nil {
			return err
		}
		_, err = user.Write([]byte{byte(n)})
		return err
	case "expect":
		for start := time.Now(); !shown.expect(rest); time.Sleep(10 * time.Millisecond) {
			if time.Since(start) > ground.Patience(10*time.Second) {
				return fmt.Errorf("%q is not shown", rest)
			}
		}
		return nil
	}
	return fmt.Errorf("a dialog has no word %q", word)
}
