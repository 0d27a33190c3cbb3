package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/pod"
	"podrun/state"
)

// The control socket speaks JSON, one value a line. The client sends one
// Request; the monitor answers with Updates until the pod has ended or the
// client hangs up. A hung-up connection of a pod that lives is a monitor that
// died: pause has the socket, and the next monitor answers.

// Request is what the command line asks of a pod's monitor.
type Request struct {
	// Stop ends the pod; without it the client only watches.
	Stop bool `json:"stop,omitempty"`
	// Suspend ends the pod so that it can go on later; see [pod.Life.Suspend].
	Suspend bool `json:"suspend,omitempty"`
	// GracePeriod in seconds replaces the pod's own.
	GracePeriod *int64 `json:"gracePeriod,omitempty"`
	// Refresh makes the pod follow the kept objects that it refers to. It is
	// answered when it does.
	Refresh bool `json:"refresh,omitempty"`
	// Pod is a changed manifest of the pod in the API's protobuf. It is answered
	// when the pod goes on by it; it may be asked again.
	Pod []byte `json:"pod,omitempty"`
	// Attach is answered in a way of its own; see [AttachTo].
	Attach *Attach `json:"attach,omitempty"`
	// Ephemeral is a container to add, a v1.EphemeralContainer in protobuf. It is
	// answered when it is recorded.
	Ephemeral []byte `json:"ephemeral,omitempty"`
	// Condition is to be set, such as one that a readiness gate waits for.
	Condition *v1.PodCondition `json:"condition,omitempty"`
}

// wants reports whether the request is more than to watch.
func (r Request) wants() bool { return r.Stop || r.Suspend || r.Condition != nil }

// pass hands the request to the pod's life.
func (r Request) pass(life *pod.Life) {
	if r.Condition != nil {
		life.SetCondition(*r.Condition)
	}
	if r.Stop {
		life.Stop(r.GracePeriod)
	} else if r.Suspend {
		life.Suspend(r.GracePeriod)
	}
}

// Update is one thing that happened. Exactly one field is set, except that
// Status goes with Ended.
type Update struct {
	Status  *v1.PodStatus `json:"status,omitempty"`
	Event   *pod.Event    `json:"event,omitempty"`
	NotMade string        `json:"notMade,omitempty"`
	Ended   bool          `json:"ended,omitempty"`
	Answer  *Answer       `json:"answer,omitempty"`
}

// Answer is what became of a request that is more than watching.
type Answer struct {
	Error string `json:"error,omitempty"`
}

// board shows updates to all who watch, and keeps what one who comes later
// has to know.
type board struct {
	mu       sync.Mutex
	watchers map[chan Update]bool
	status   *v1.PodStatus
	final    *Update
	life     *pod.Life
	early    []Request // that came before there was a life
	sending  sync.WaitGroup
}

// A watcher that does not read for this many updates loses the connection, and
// gets the present status when it comes back.
const backlog = 256

func (b *board) post(u Update) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if u.Status != nil {
		b.status = u.Status
	}
	for w := range b.watchers {
		select {
		case w <- u:
		default:
			delete(b.watchers, w)
			close(w)
		}
	}
}

// close posts the last update and waits until all have it, or have been too
// slow to take it.
func (b *board) close(u Update) {
	b.mu.Lock()
	b.final = &u
	for w := range b.watchers {
		select {
		case w <- u:
		default: // asks again, and gets it from watch
		}
		delete(b.watchers, w)
		close(w)
	}
	b.mu.Unlock()
	sent := make(chan struct{})
	go func() { defer close(sent); b.sending.Wait() }()
	select {
	case <-sent:
	case <-time.After(farewell): // somebody reads a byte at a time
	}
}

// farewell is how long the end of a pod waits for those who watch.
const farewell = 2 * sendTimeout

// ready hands over the life, and the requests that it missed.
func (b *board) ready(life *pod.Life) {
	b.mu.Lock()
	b.life = life
	early := b.early
	b.mu.Unlock()
	for _, r := range early {
		r.pass(life)
	}
}

func (b *board) take(r Request) {
	b.mu.Lock()
	life := b.life
	if life == nil {
		b.early = append(b.early, r)
	}
	b.mu.Unlock()
	if life != nil {
		r.pass(life)
	}
}

// stopAsked reports whether one of the requests that wait for a life is to end the pod.
func (b *board) stopAsked() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.early, func(r Request) bool { return r.Stop })
}

func (b *board) watch() chan Update {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := make(chan Update, backlog+1)
	b.sending.Add(1)
	if b.status != nil && b.final == nil {
		w <- Update{Status: b.status}
	}
	if b.final != nil {
		w <- *b.final
		close(w)
		return w
	}
	if b.watchers == nil {
		b.watchers = map[chan Update]bool{}
	}
	b.watchers[w] = true
	return w
}

func (b *board) leave(w chan Update) {
	b.mu.Lock()
	delete(b.watchers, w)
	b.mu.Unlock()
	b.sending.Done()
}

// serve begins to answer a control socket, until another takes its place. It
// leaves the file to the caller.
func (m *monitor) serve(socket *os.File) {
	l, err := net.FileListener(socket)
	if err != nil {
		fmt.Fprintf(os.Stderr, "podrun: open the control socket: %v\n", err)
		return
	}
	listener := l.(*net.UnixListener)
	// The socket's file belongs to the pod, not to this process.
	listener.SetUnlinkOnClose(false)
	if before := m.listener.Swap(listener); before != nil {
		before.Close() // nobody finds it any more
	}
	go m.accept(listener)
}

func (m *monitor) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptor is free, for now
			time.Sleep(acceptGap)
			continue
		}
		go m.answer(conn.(*net.UnixConn))
	}
}

// sendTimeout bounds the wait for a client that does not read.
const sendTimeout = 2 * time.Second

// acceptGap is the wait after an accept that failed.
const acceptGap = 100 * time.Millisecond

func (m *monitor) answer(conn *net.UnixConn) {
	defer conn.Close()
	if !ownPeer(conn) {
		return
	}
	m.clients.admit(conn)
	defer m.clients.leave(conn)
	conn.SetReadDeadline(time.Now().Add(requestTime))
	r, in, err := readRequest(conn)
	if err != nil {
		return
	}
	conn.SetReadDeadline(time.Time{})
	if r.Refresh || r.Pod != nil || r.Ephemeral != nil {
		answer := m.apply(r)
		conn.SetWriteDeadline(time.Now().Add(sendTimeout))
		json.NewEncoder(conn).Encode(Update{Answer: &answer})
		return
	}
	if r.Attach != nil {
		containers{m}.answerAttach(conn, in, *r.Attach)
		return
	}
	w := m.board.watch()
	defer m.board.leave(w)
	if r.wants() {
		m.board.take(r)
	}
	gone := hungUp(conn)
	out := json.NewEncoder(conn)
	for {
		select {
		case u, more := <-w:
			if !more {
				return
			}
			// One who does not read must not hold up the end of the pod.
			conn.SetWriteDeadline(time.Now().Add(sendTimeout))
			if out.Encode(u) != nil {
				return
			}
		case <-gone:
			return
		}
	}
}

// apply does what is answered once it is done.
func (m *monitor) apply(r Request) Answer {
	<-m.lives
	act := m.refresh
	switch {
	case r.Pod != nil:
		act = func() error { return m.change(r.Pod) }
	case r.Ephemeral != nil:
		act = func() error { return m.addEphemeral(r.Ephemeral) }
	}
	if err := act(); err != nil {
		return Answer{Error: err.Error()}
	}
	return Answer{}
}

// ErrNoMonitor says that nobody keeps the pod.
var ErrNoMonitor = errors.New("the pod has no monitor")

// Ask sends a request to the monitor of a pod and calls each with what it
// answers, until each returns false or ctx ends. It goes on with the next
// monitor when one dies, and returns ErrNoMonitor when there is none.
func Ask(ctx context.Context, s *state.Store, uid string, r Request, each func(Update) bool) error {
	for {
		conn, err := dial(controlPath(s, uid))
		if err != nil {
			if again, err := beingMade(ctx, s, uid); again {
				continue
			} else if err != nil {
				return err
			}
			return ErrNoMonitor
		}
		hangUp := context.AfterFunc(ctx, func() { conn.Close() })
		done, err := converse(conn, r, each)
		hangUp()
		conn.Close()
		if done || err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if held, err := state.Locked(lockPath(s, uid)); err != nil || !held {
			return errors.Join(ErrNoMonitor, err)
		}
	}
}

// socketWait is how soon a socket that is being made is looked for again.
const socketWait = 2 * time.Millisecond

// beingMade waits a moment where there is no socket, but the lock is held:
// whoever makes a pod locks it first.
func beingMade(ctx context.Context, s *state.Store, uid string) (bool, error) {
	held, err := state.Locked(lockPath(s, uid))
	if err != nil || !held {
		return false, err
	}
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-time.After(socketWait):
		return true, nil
	}
}

func converse(conn net.Conn, r Request, each func(Update) bool) (done bool, err error) {
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return false, nil // died before it listened: ask the next
	}
	in := json.NewDecoder(conn)
	for {
		var u Update
		if err := in.Decode(&u); err != nil {
			return false, nil
		}
		if !each(u) {
			return true, nil
		}
	}
}

// dial reaches a socket whose path may be longer than the 107 bytes of
// sockaddr_un, through its directory's descriptor.
func dial(path string) (net.Conn, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}

// listen makes the control socket, in the same way.
func listen(path string) (*os.File, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	l, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
	if err != nil {
		return nil, err
	}
	defer l.Close()
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	return l.(*net.UnixListener).File()
}

func controlPath(s *state.Store, uid string) string {
	return filepath.Join(s.RunDir(uid), "control")
}

func lockPath(s *state.Store, uid string) string { return filepath.Join(s.RunDir(uid), "lock") }
