package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"podrun/ground"
)

const controlSocket = "control socket"

// TestControlSocket talks to a monitor as nobody may, and as the owner's programs
// do that have gone wrong. The monitor stays the same and does not grow.
func TestControlSocket(t *testing.T) {
	g := newGround(t, controlSocket)
	g.Must(t, "up", g.Write(t, "sleeper.yaml", sleeper))
	uid, err := g.UID("sleeper")
	if err != nil {
		t.Fatal(err)
	}
	s := socket{t: t, path: filepath.Join(g.Store.RunDir(uid), "control"), monitor: theMonitor(t, uid)}
	before := s.descriptors()
	s.reachByOthers()
	s.sayGarbage()
	s.hog()
	ground.Until(t, "the monitor closes what its clients have opened", func() bool { return s.descriptors() <= before+2 })
	if now := theMonitor(t, uid); now.PID != s.monitor.PID {
		t.Error("the monitor has ended")
	}
	if out := g.Must(t, "ps"); !strings.Contains(out, "Running") {
		t.Errorf("got %s", out)
	}
	start := time.Now()
	g.Must(t, "down", "sleeper")
	if took := time.Since(start); took > ground.Patience(20*time.Second) {
		t.Errorf("down took %v", took)
	}
}

func theMonitor(t *testing.T, uid string) ground.Process {
	t.Helper()
	all, err := ground.Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Is("monitor", uid, all) {
			return p
		}
	}
	t.Fatal("the pod has no monitor")
	return ground.Process{}
}

type socket struct {
	t       *testing.T
	path    string
	monitor ground.Process
}

func (s socket) proc(file string) string {
	return filepath.Join("/proc", strconv.Itoa(s.monitor.PID), file)
}

func (s socket) descriptors() int {
	list, err := os.ReadDir(s.proc("fd"))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(list)
}

// connect reaches the socket by a path that is short enough.
func (s socket) connect(path string) (*net.UnixConn, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	conn, err := net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}

// hangsUp tells whether the monitor ends the conversation without a word.
func hangsUp(conn net.Conn) error {
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	said, err := io.ReadAll(conn)
	if len(said) > 0 {
		return fmt.Errorf("the monitor says %.200q", said)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the monitor neither answers nor hangs up")
	}
	return nil
}

// reachByOthers puts the socket where everybody can reach it.
func (s socket) reachByOthers() {
	dir, err := os.MkdirTemp("/tmp", "podrun-socket")
	if err != nil {
		s.t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	place := filepath.Join(dir, "control")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(place, nil, 0o666), unix.Mount(s.path, place, "", unix.MS_BIND, ""), os.Chmod(s.path, 0o666)); err != nil {
		s.t.Fatal(err)
	}
	defer unix.Unmount(place, unix.MNT_DETACH)
	for _, request := range []string{`{"stop":true}`, `{}`, `{"attach":{"container":"main"}}`, `{"refresh":true}`} {
		tally(controlSocket, "escapes tried", 1)
		if err := asNobody(func() error {
			conn, err := net.Dial("unix", place)
			if err != nil {
				return err
			}
			defer conn.Close()
			io.WriteString(conn, request+"\n") // it may have hung up already
			return hangsUp(conn)
		}); err != nil {
			tally(controlSocket, "escapes", 1)
			s.t.Errorf("%s: %v", request, err)
		}
	}
	tally(controlSocket, "escapes", 0)
}

// asNobody calls f on a thread that belongs to another user.
func asNobody(f func() error) error {
	return onThread(func() error {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
			return errno
		}
		return f()
	})
}

// onThread calls f on a thread that ends with it.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		goruntime.LockOSThread() // and never unlocked
		result <- f()
	}()
	return <-result
}

func (s socket) sayGarbage() {
	file, err := os.Open("/")
	if err != nil {
		s.t.Fatal(err)
	}
	defer file.Close()
	for name, say := range map[string]func(*net.UnixConn){
		"a frame without an end": func(c *net.UnixConn) {
			c.SetWriteDeadline(time.Now().Add(time.Minute))
			for block := make([]byte, 1<<20); ; {
				if _, err := c.Write(block); err != nil {
					return
				}
			}
		},
		"half a message":   func(c *net.UnixConn) { io.WriteString(c, `{"stop":tr`) },
		"deep nesting":     func(c *net.UnixConn) { io.WriteString(c, strings.Repeat(`{"attach":`, 100_000)+"\n") },
		"another language": func(c *net.UnixConn) { io.WriteString(c, "GET / HTTP/1.1\r\n\r\n") },
		"descriptors": func(c *net.UnixConn) {
			c.WriteMsgUnix([]byte("{\n"), unix.UnixRights(int(file.Fd()), int(file.Fd()), int(file.Fd())), nil)
		},
		"a byte at a time": func(c *net.UnixConn) {
			for range 60 {
				if _, err := io.WriteString(c, " "); err != nil {
					return
				}
				time.Sleep(200 * time.Millisecond)
			}
		},
	} {
		tally(controlSocket, "faults injected", 1)
		conn, err := s.connect(s.path)
		if err != nil {
			s.t.Fatal(err)
		}
		say(conn)
		if err := hangsUp(conn); err != nil {
			s.t.Errorf("%s: %v", name, err)
		}
		conn.Close()
	}
}

// hog opens more conversations than there may be, and reads none of them.
func (s socket) hog() {
	const many = 600
	for range many {
		tally(controlSocket, "faults injected", 1)
		conn, err := s.connect(s.path)
		if err != nil {
			s.t.Fatal(err)
		}
		defer conn.Close()
		if err := json.NewEncoder(conn).Encode(struct{}{}); err != nil && !errors.Is(err, unix.EPIPE) {
			s.t.Fatal(err)
		}
	}
	ground.Until(s.t, "the monitor has room for others", func() bool { return s.descriptors() < many/2 })
	status, err := os.ReadFile(s.proc("status"))
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "\nRssAnon:")
	if kb, err := strconv.Atoi(strings.Fields(rest)[0]); err != nil || kb > 64<<10 {
		s.t.Errorf("the monitor has grown to %d kB", kb)
	}
}
