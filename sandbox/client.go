package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"podrun/step"
)

// The protocol's constants and layouts are those of pause.c.
const (
	opKeep = iota + 1
	opTake
	opDrop
	opList
	opExits
	opForget
	opQuit
	opHold

	nameSize    = 128
	requestSize = 16 + nameSize
	replySize   = 8
	exitedSize  = 32

	// monitorFD is the monitor's end of the socket to its pause; then come the
	// files of Client.
	monitorFD = 3
)

// Exited is one process that pause reaped while no monitor could.
type Exited struct {
	Pid       int
	StartTime uint64 // clock ticks since boot: a pid alone may have been used again
	Code      int    // exit code; 128+n where signal n ended it
	Signal    int    // 0 unless a signal ended it
	At        time.Time
}

// Client is the monitor's line to the pause process that started it. It is
// safe for concurrent use.
type Client struct {
	// PID is pause's, whether it lives or not.
	PID int
	// Lock is the pod's, Control the listening control socket, and Mounts the
	// machine's mount namespace: what is needed to replace a pause that has died.
	Lock, Control, Mounts *os.File

	mu   sync.Mutex
	conn *net.UnixConn
}

// Connect opens the line. It works only in a process that pause started.
func Connect() (*Client, error) {
	f := os.NewFile(monitorFD, "pause")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("open the line to pause: %w", err)
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, errors.New("open the line to pause: descriptor 3 is no socket of pause")
	}
	// The credentials of a socketpair are those of the process that made it
	// (unix(7)). The parent may be another by now.
	maker, err := unix.GetsockoptUcred(monitorFD, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		conn.Close()
		return nil, os.NewSyscallError("getsockopt", err)
	}
	c := &Client{PID: int(maker.Pid), conn: unixConn}
	for i, file := range []**os.File{&c.Lock, &c.Control, &c.Mounts} {
		unix.CloseOnExec(monitorFD + 1 + i)
		*file = os.NewFile(uintptr(monitorFD+1+i), "of pause")
	}
	return c, nil
}

// Keep gives pause a copy of f under a name of at most 127 bytes; what had the
// name is closed.
func (c *Client) Keep(name string, f *os.File) error {
	defer step.Change("keep descriptor")()
	if len(name) >= nameSize {
		return fmt.Errorf("keep %q: the name is too long", name)
	}
	_, _, err := c.call(request{op: opKeep, name: name, file: f})
	return wrap("keep", name, err)
}

// Hold lets pause open a FIFO for reading and keep it under the name: who waits to
// write to it goes on, whatever becomes of this process. fifo was opened with O_PATH,
// which makes nobody go on.
func (c *Client) Hold(name string, fifo *os.File) error {
	defer step.Change("hold reader")()
	if len(name) >= nameSize {
		return fmt.Errorf("hold %q: the name is too long", name)
	}
	_, _, err := c.call(request{op: opHold, name: name, file: fifo})
	return wrap("hold", name, err)
}

// Take returns a copy of what is kept under name; the error is os.ErrNotExist
// where nothing is.
func (c *Client) Take(name string) (*os.File, error) {
	_, f, err := c.call(request{op: opTake, name: name})
	return f, wrap("take", name, err)
}

// Drop closes what is kept under name. Nothing there is no error.
func (c *Client) Drop(name string) error {
	defer step.Change("drop descriptor")()
	_, _, err := c.call(request{op: opDrop, name: name})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return wrap("drop", name, err)
}

// Names lists what is kept.
func (c *Client) Names() ([]string, error) {
	data, _, err := c.call(request{op: opList})
	if err != nil || len(data) == 0 {
		return nil, wrap("list", "names", err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00"), nil
}

// Exits lists the processes that pause reaped and that were not forgotten.
func (c *Client) Exits() ([]Exited, error) {
	data, _, err := c.call(request{op: opExits})
	if err != nil {
		return nil, wrap("list", "exits", err)
	}
	exits := make([]Exited, 0, len(data)/exitedSize)
	for ; len(data) >= exitedSize; data = data[exitedSize:] {
		exits = append(exits, decodeExited(data))
	}
	return exits, nil
}

// SinceBoot is the time on the clock that nobody can set and that goes on while
// the machine sleeps.
func SinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic(err) // every kernel since 2.6.39 has it
	}
	return time.Duration(now.Nano())
}

func decodeExited(b []byte) Exited {
	e := Exited{
		StartTime: binary.NativeEndian.Uint64(b),
		At:        time.Now().Add(time.Duration(binary.NativeEndian.Uint64(b[8:])) - SinceBoot()),
		Pid:       int(int32(binary.NativeEndian.Uint32(b[16:]))),
	}
	status := int(int32(binary.NativeEndian.Uint32(b[24:])))
	if cldExited := uint32(1); binary.NativeEndian.Uint32(b[20:]) == cldExited {
		e.Code = status
	} else {
		e.Code, e.Signal = 128+status, status
	}
	return e
}

// Forget removes an exit that is stored elsewhere.
func (c *Client) Forget(e Exited) error {
	defer step.Change("forget exit")()
	_, _, err := c.call(request{op: opForget, pid: e.Pid, start: e.StartTime})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return wrap("forget", "exit", err)
}

// Quit ends pause, and with it the sandbox's namespaces once no container is
// left in them. It closes the line as well: pause made it in the pod's network
// namespace, which lives as long as a socket that was made in it.
func (c *Client) Quit() error {
	defer step.Change("end pause")()
	_, _, err := c.call(request{op: opQuit})
	return errors.Join(wrap("end", "pause", err), c.conn.Close())
}

type request struct {
	op    uint32
	pid   int
	start uint64
	name  string
	file  *os.File
}

func (r request) encode() []byte {
	b := make([]byte, requestSize)
	binary.NativeEndian.PutUint32(b, r.op)
	binary.NativeEndian.PutUint32(b[4:], uint32(r.pid))
	binary.NativeEndian.PutUint64(b[8:], r.start)
	copy(b[16:], r.name)
	return b
}

// call is one request and its reply.
func (c *Client) call(r request) ([]byte, *os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.file == nil {
		if _, _, err := c.conn.WriteMsgUnix(r.encode(), nil, nil); err != nil {
			return nil, nil, err
		}
		return c.receive()
	}
	// Not File.Fd, which would make the file, shared with pause, block.
	raw, err := r.file.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) {
		_, _, sent = c.conn.WriteMsgUnix(r.encode(), unix.UnixRights(int(fd)), nil)
	}); err != nil {
		return nil, nil, err
	}
	if sent != nil {
		return nil, nil, sent
	}
	return c.receive()
}

func (c *Client) receive() ([]byte, *os.File, error) {
	// A packet is at most the ledger (4096 exits) or the names of what is kept.
	buf := make([]byte, 4096)
	oob := make([]byte, unix.CmsgSpace(4))
	if n, err := c.peek(); err != nil {
		return nil, nil, err
	} else if n > len(buf) {
		buf = make([]byte, n)
	}
	n, oobn, _, _, err := c.conn.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, nil, err
	}
	if n < replySize {
		return nil, nil, errors.New("pause is gone")
	}
	file, err := receivedFile(oob[:oobn])
	if err != nil {
		return nil, nil, err
	}
	if errno := binary.NativeEndian.Uint32(buf); errno != 0 {
		return nil, nil, os.NewSyscallError("pause", unix.Errno(errno))
	}
	return buf[replySize:n], file, nil
}

// peek waits for a packet and returns its whole size.
func (c *Client) peek() (size int, err error) {
	raw, err := c.conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var probe [1]byte
	var errno error
	err = raw.Read(func(fd uintptr) bool {
		size, _, errno = unix.Recvfrom(int(fd), probe[:], unix.MSG_PEEK|unix.MSG_TRUNC|unix.MSG_DONTWAIT)
		return errno != unix.EAGAIN
	})
	if err == nil && errno != nil {
		err = os.NewSyscallError("recvfrom", errno)
	}
	return size, err
}

func receivedFile(oob []byte) (*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return nil, err
	}
	unix.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "kept by pause"), nil
}

func wrap(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", verb, name, err)
}
