package monitor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/pod"
	"podrun/state"
)

const uid = "6b2c7f0e-0c1d-4d55-9b3a-2f6f1f3f9a10"

func newStore(t *testing.T) *state.Store {
	t.Helper()
	dir := t.TempDir()
	s, err := state.Open(state.Config{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hold takes the pod's lock, as pause does for as long as it lives.
func hold(t *testing.T, s *state.Store) *os.File {
	t.Helper()
	lock, err := keep(s, uid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	return lock
}

// answering is a monitor that has nothing but its control socket.
func answering(t *testing.T) (*monitor, *state.Store) {
	t.Helper()
	s := newStore(t)
	hold(t, s)
	control, err := listen(controlPath(s, uid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { control.Close() })
	m := &monitor{store: s, control: control}
	m.serve(m.control)
	return m, s
}

// A socket whose file is gone is given up with the next one: its descriptors would
// else become more and more.
func TestNextSocketEndsTheLast(t *testing.T) {
	m, s := answering(t)
	last := filepath.Join(s.RunDir(uid), "last")
	if err := os.Rename(controlPath(s, uid), last); err != nil {
		t.Fatal(err)
	}
	control, err := listen(controlPath(s, uid))
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	m.serve(control)
	m.control.Close()
	within(t, time.Second, "the end of the last socket", func() {
		for {
			conn, err := dial(last)
			if errors.Is(err, unix.ECONNREFUSED) {
				return
			}
			if err == nil {
				conn.Close()
			}
			time.Sleep(time.Millisecond)
		}
	})
	if conn, err := dial(controlPath(s, uid)); err != nil {
		t.Errorf("the next socket: %v", err)
	} else {
		conn.Close()
	}
}

func phase(p v1.PodPhase) Update { return Update{Status: &v1.PodStatus{Phase: p}} }

// within fails where f takes longer than a monitor may keep its pod waiting.
func within(t *testing.T, limit time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s takes longer than %v", what, limit)
	}
}

// watch asks and passes on what is answered.
func watch(s *state.Store, r Request) (<-chan Update, <-chan error) {
	updates, failed := make(chan Update, 100), make(chan error, 1)
	go func() {
		failed <- Ask(context.Background(), s, uid, r, func(u Update) bool {
			updates <- u
			return !u.Ended && u.NotMade == ""
		})
	}()
	return updates, failed
}

func next(t *testing.T, c <-chan Update) Update {
	t.Helper()
	select {
	case u := <-c:
		return u
	case <-time.After(5 * time.Second):
		t.Fatal("no update comes")
		return Update{}
	}
}

// await waits until n clients watch.
func (b *board) await(t *testing.T, n int) {
	t.Helper()
	for range 500 {
		b.mu.Lock()
		got := len(b.watchers)
		b.mu.Unlock()
		if got == n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%d clients never watch", n)
}

func TestWatchersSeeWhatHappens(t *testing.T) {
	m, s := answering(t)
	m.board.post(phase(v1.PodPending))
	first, firstFailed := watch(s, Request{})
	if got := next(t, first); got.Status == nil || got.Status.Phase != v1.PodPending {
		t.Errorf("got %+v, want the present status first", got)
	}
	second, secondFailed := watch(s, Request{})
	next(t, second)
	m.board.post(Update{Event: &pod.Event{Reason: "Started"}})
	m.board.post(phase(v1.PodRunning))
	for _, c := range []<-chan Update{first, second} {
		if got := next(t, c); got.Event == nil || got.Event.Reason != "Started" {
			t.Errorf("got %+v, want the event", got)
		}
		if got := next(t, c); got.Status == nil || got.Status.Phase != v1.PodRunning {
			t.Errorf("got %+v, want the new status", got)
		}
	}
	end := phase(v1.PodSucceeded)
	end.Ended = true
	m.board.close(end)
	late, lateFailed := watch(s, Request{})
	for _, c := range []<-chan Update{first, second, late} {
		if got := next(t, c); !got.Ended || got.Status == nil || got.Status.Phase != v1.PodSucceeded {
			t.Errorf("got %+v, want the end", got)
		}
	}
	for _, c := range []<-chan error{firstFailed, secondFailed, lateFailed} {
		if err := <-c; err != nil {
			t.Errorf("got %v", err)
		}
	}
}

func TestStopsReachTheLife(t *testing.T) {
	m, s := answering(t)
	grace := int64(7)
	watch(s, Request{Stop: true, GracePeriod: &grace})
	m.board.await(t, 1)
	m.board.mu.Lock()
	defer m.board.mu.Unlock()
	if got := m.board.early; len(got) != 1 || !got[0].Stop || *got[0].GracePeriod != 7 {
		t.Errorf("got %+v, want the stop to be kept for the life to come", got)
	}
}

// A client that has stopped reading, as after Ctrl-Z, must hold up neither the
// others nor the pod's end.
func TestSlowWatcherIsDropped(t *testing.T) {
	m, s := answering(t)
	stopped, err := dial(controlPath(s, uid))
	if err != nil {
		t.Fatal(err)
	}
	defer stopped.Close()
	if err := json.NewEncoder(stopped).Encode(Request{}); err != nil {
		t.Fatal(err)
	}
	m.board.await(t, 1)
	large := Update{Status: &v1.PodStatus{Message: strings.Repeat("x", 8<<10)}}
	within(t, 5*time.Second, "posting", func() {
		for range 4 * backlog {
			m.board.post(large)
		}
	})
	m.board.await(t, 0)
	reading, _ := watch(s, Request{})
	next(t, reading)
	within(t, 2*sendTimeout, "closing", func() { m.board.close(Update{NotMade: "no reason"}) })
	if got := next(t, reading); got.NotMade != "no reason" {
		t.Errorf("got %+v, want the end", got)
	}
}

// The same, where the backlog is full to the last place when the end comes.
func TestCloseWithAFullBacklog(t *testing.T) {
	var b board
	w := b.watch()
	for len(w) < cap(w) {
		b.post(Update{Event: &pod.Event{}})
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		b.leave(w)
	}()
	within(t, 5*time.Second, "closing", func() { b.close(Update{Ended: true}) })
}

func TestBadRequests(t *testing.T) {
	m, s := answering(t)
	for name, text := range map[string]string{
		"nothing":                 "",
		"an empty line":           "\n",
		"no JSON":                 "stop\n",
		"another type":            "[1]\n",
		"a wrong field":           `{"stop":"yes"}` + "\n",
		"a request without end":   `{"stop":true}`,
		"longer than any request": strings.Repeat(" ", maxRequest) + `{"stop":true}` + "\n",
		"binary":                  "\x00\xff\x00\n",
	} {
		conn, err := dial(controlPath(s, uid))
		if err != nil {
			t.Fatal(err)
		}
		// The monitor may hang up before it has read all.
		if _, err := conn.Write([]byte(text)); err != nil && !errors.Is(err, unix.EPIPE) {
			t.Fatal(err)
		}
		if err := conn.(*net.UnixConn).CloseWrite(); err != nil && !errors.Is(err, unix.ENOTCONN) {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil || line != "" || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: got %q, %v, want a hang-up", name, line, err)
		}
		conn.Close()
	}
	m.board.mu.Lock()
	stops := len(m.board.early)
	m.board.mu.Unlock()
	if stops > 0 {
		t.Errorf("got %d stops of what is no request", stops)
	}
	m.board.post(phase(v1.PodRunning))
	updates, _ := watch(s, Request{})
	next(t, updates) // the monitor goes on
}

// Root's socket is in a directory of root's; should anybody else get at it, he
// gets no answer.
func TestForeignPeerIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root")
	}
	l, err := net.Listen("unix", "@podrun-test-"+uid)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	connect := func(user uintptr) bool {
		failed := make(chan error, 1)
		go func() {
			goruntime.LockOSThread() // and never unlocked: the thread ends as this user
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, user, user, user); errno != 0 {
				failed <- os.NewSyscallError("setresuid", errno)
				return
			}
			conn, err := net.Dial("unix", l.Addr().String())
			if err == nil {
				defer conn.Close()
			}
			failed <- err
		}()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
		return ownPeer(conn.(*net.UnixConn))
	}
	if !connect(0) {
		t.Error("root is refused")
	}
	if connect(65534) {
		t.Error("nobody is let in")
	}
}

// The path of a socket may have 107 bytes; that of a run root, thousands.
func TestControlSocketBelowALongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 200), strings.Repeat("e", 200))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	control, err := listen(filepath.Join(dir, "control"))
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	conn, err := dial(filepath.Join(dir, "control"))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
