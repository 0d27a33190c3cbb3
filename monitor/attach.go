package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/logs"
	"podrun/state"
)

// Attach asks for the standard files of a container as they are: the answer is
// one line, and with it come the descriptors.
type Attach struct {
	Container string `json:"container"`
	Stdin     bool   `json:"stdin,omitempty"`
}

// attached is the monitor's answer to an Attach.
type attached struct {
	Error   string `json:"error,omitempty"`
	Attempt int    `json:"attempt"`
	TTY     bool   `json:"tty,omitempty"`
}

// Attachment is a container's standard files on the side of the command line,
// which owns them. Output that comes while nobody is attached is in the log only.
type Attachment struct {
	Attempt        int
	TTY            bool
	Stdout, Stderr *os.File // end when the container has, or its monitor has died
	Stdin          *os.File // a pipe, or the terminal; nil if it was not asked for

	conn *net.UnixConn
}

// NotAttachable says why a container cannot be attached to.
type NotAttachable struct{ Text string }

func (e *NotAttachable) Error() string { return e.Text }

// AttachTo joins the caller to a running container. The error is ErrNoMonitor
// where nobody keeps the pod.
func AttachTo(ctx context.Context, s *state.Store, uid string, a Attach) (_ *Attachment, err error) {
	conn, err := dial(controlPath(s, uid))
	if err != nil {
		return nil, errors.Join(ErrNoMonitor, err)
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := json.NewEncoder(conn).Encode(Request{Attach: &a}); err != nil {
		return nil, fmt.Errorf("ask the monitor: %w", err)
	}
	answer, files, err := receiveFiles(conn.(*net.UnixConn))
	if err != nil {
		return nil, fmt.Errorf("attach to container %s: %w", a.Container, err)
	}
	if answer.Error != "" {
		return nil, &NotAttachable{answer.Error}
	}
	at := &Attachment{Attempt: answer.Attempt, TTY: answer.TTY, conn: conn.(*net.UnixConn)}
	for i, target := range []**os.File{&at.Stdout, &at.Stderr, &at.Stdin} {
		if i < len(files) {
			*target = files[i]
		}
	}
	return at, nil
}

// CloseStdin says that nothing more will come, and closes Stdin. A container with stdinOnce sees
// the end of its input; another goes on waiting for whoever attaches next.
func (a *Attachment) CloseStdin() error {
	_, err := a.conn.Write(inputEnded)
	if a.Stdin != nil {
		err = errors.Join(a.Stdin.Close(), err)
	}
	return err
}

// inputEnded is all that a client says after its request.
var inputEnded = []byte("\n")

// Close leaves the container.
func (a *Attachment) Close() {
	for _, f := range []*os.File{a.Stdout, a.Stderr, a.Stdin} {
		if f != nil {
			f.Close()
		}
	}
	a.conn.Close()
}

// maxAttached is the most descriptors of one answer.
const maxAttached = 3

func receiveFiles(conn *net.UnixConn) (attached, []*os.File, error) {
	line := make([]byte, 4096)
	oob := make([]byte, unix.CmsgSpace(4*maxAttached))
	n, oobn, _, _, err := conn.ReadMsgUnix(line, oob)
	if err != nil {
		return attached{}, nil, err
	}
	if n == 0 {
		return attached{}, nil, io.ErrUnexpectedEOF
	}
	var answer attached
	if err := json.Unmarshal(line[:n], &answer); err != nil {
		return attached{}, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return attached{}, nil, err
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return attached{}, nil, err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "attached"))
		}
	}
	return answer, files, nil
}

// answerAttach is the monitor's side. The client is attached as long as the
// connection lasts; a first byte on it says that its input has ended.
func (m containers) answerAttach(conn *net.UnixConn, in io.Reader, r Attach) {
	<-m.lives
	l, answer, files, err := m.join(r)
	if err != nil {
		answer.Error = err.Error()
	}
	err = sendFiles(conn, answer, files)
	closeAll(files)
	if l == nil {
		return
	}
	defer l.output.audience.leave(l)
	if err != nil {
		return
	}
	_, err = in.Read(make([]byte, 1))
	if r.Stdin && l.once {
		m.pause.Drop(l.output.id + "/stdin")
	}
	if err == nil { // only its input has ended
		in.Read(make([]byte, 1))
	}
}

func sendFiles(conn *net.UnixConn, answer attached, files []*os.File) error {
	line, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	fds, err := descriptors(files)
	if err != nil {
		return err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	_, _, err = conn.WriteMsgUnix(append(line, '\n'), rights, nil)
	return err
}

// descriptors of files that stay open. Not File.Fd, which would make the terminal
// block that is read here all the time.
func descriptors(files []*os.File) ([]int, error) {
	var fds []int
	for _, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return nil, err
		}
		if err := raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			return nil, err
		}
	}
	return fds, nil
}

// join adds a listener to a container's audience. The files are for the client;
// the caller closes them.
func (m containers) join(r Attach) (*listener, attached, []*os.File, error) {
	a, c := m.attachable(r.Container)
	if a == nil {
		return nil, attached{}, nil, fmt.Errorf("container %s is not running", r.Container)
	}
	answer := attached{Attempt: a.number, TTY: c.TTY}
	l := &listener{output: a.output, once: c.StdinOnce}
	var files []*os.File
	for i := range l.streams {
		read, write, err := os.Pipe()
		if err != nil {
			closeAll(files)
			l.close()
			return nil, answer, nil, err
		}
		l.streams[i] = write
		files = append(files, read)
	}
	if r.Stdin {
		stdin, err := m.pause.Take(a.id + "/stdin")
		if err != nil {
			closeAll(files)
			l.close()
			if c.Stdin {
				return nil, answer, nil, fmt.Errorf("the standard input of container %s was closed after its first use (stdinOnce)", r.Container)
			}
			return nil, answer, nil, fmt.Errorf("container %s has no standard input: its manifest would have to say stdin: true", r.Container)
		}
		files = append(files, stdin)
	}
	a.output.audience.join(l)
	return l, answer, files, nil
}

// attachable is the running attempt of a container.
func (m containers) attachable(name string) (*attempt, *v1.Container) {
	c := m.spec(name)
	if c == nil {
		return nil, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.attempts {
		if a.name == name && a.watch != nil && !a.over {
			return a, c
		}
	}
	return nil, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// audience is everybody who is attached to a container.
type audience struct {
	mu        sync.Mutex
	listeners map[*listener]bool
	over      bool
	// early is what a container that takes input has said before the first one
	// came, such as its prompt; of no use to others.
	early  [2][]byte
	remark bool
}

// maxEarly is what an empty pipe holds at least.
const maxEarly = 32 << 10

// listener is one who is attached.
type listener struct {
	output  *output
	streams [2]*os.File
	once    bool // the container's stdinOnce
}

func (l *listener) close() {
	for _, f := range l.streams {
		if f != nil {
			f.Close()
		}
	}
}

func (a *audience) join(l *listener) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		l.close()
		return
	}
	if a.listeners == nil {
		a.listeners = map[*listener]bool{}
	}
	a.listeners[l] = true
	for s, said := range a.early {
		l.streams[s].Write(said)
	}
	a.early, a.remark = [2][]byte{}, false
}

func (a *audience) leave(l *listener) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.listeners[l] {
		delete(a.listeners, l)
		l.close()
	}
}

// dismiss ends the output of all who listen.
func (a *audience) dismiss() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	for l := range a.listeners {
		l.close()
	}
	a.listeners = nil
}

// listenTime is how long a listener may hold up the container's output.
const listenTime = 2 * time.Second

// hear gives output to all who listen. One who does not read loses the
// connection: the log, and with it the container, must not wait for ever.
func (a *audience) hear(s logs.Stream, output []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.remark {
		a.early[s] = append(a.early[s], output[:min(len(output), maxEarly-len(a.early[s]))]...)
	}
	for l := range a.listeners {
		f := l.streams[s]
		f.SetWriteDeadline(time.Now().Add(listenTime))
		if _, err := f.Write(output); err != nil {
			delete(a.listeners, l)
			l.close()
		}
	}
}
