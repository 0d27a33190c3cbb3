package runtime

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/opencontainers/runc/libcontainer/system"
	"golang.org/x/sys/unix"

	"podrun/step"
)

// Exit is how a process ended.
type Exit struct {
	Code   int // exit code; 128+n where signal n ended it
	Signal int // 0 unless a signal ended it
}

// ErrNotChild says that another process reaps: pause, after a monitor died.
var ErrNotChild = errors.New("not a child of this process")

// Watch sees one process end, through a pidfd: no thread waits, and the number
// cannot come to mean another process.
type Watch struct {
	file *os.File
}

// NewWatch watches the container's first process. os.ErrProcessDone says that
// it is gone and reaped.
func (c *Container) NewWatch() (*Watch, error) {
	fd, err := unix.PidfdOpen(c.pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("watch process %d: %w", c.pid, os.ErrProcessDone)
	}
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	w := &Watch{os.NewFile(uintptr(fd), "pidfd")}
	// The number may have been used again before the descriptor was open. The
	// state of the process does not tell: one whose main thread has ended is a
	// zombie in /proc, and goes on as long as its other threads do.
	started, err := c.StartTime()
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("watch process %d: %w", c.pid, err)
	}
	if now, err := system.Stat(c.pid); (err != nil || now.StartTime != started) && !w.ended() {
		w.Close()
		return nil, fmt.Errorf("watch process %d: %w", c.pid, os.ErrProcessDone)
	}
	return w, nil
}

// lives tells whether any thread of the first process does.
func (c *Container) lives() (bool, error) {
	w, err := c.NewWatch()
	if errors.Is(err, os.ErrProcessDone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer w.Close()
	return !w.ended(), nil
}

func (w *Watch) signal(s unix.Signal) error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	var errno error
	if err := raw.Control(func(fd uintptr) { errno = unix.PidfdSendSignal(int(fd), s, nil, 0) }); err != nil {
		return err
	}
	return os.NewSyscallError("pidfd_send_signal", errno)
}

// Wait returns when the process has ended. It reaps nothing.
func (w *Watch) Wait() error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool { return pidfdReadable(int(fd)) })
}

func (w *Watch) ended() bool {
	done := false
	raw, err := w.file.SyscallConn()
	if err != nil {
		return false
	}
	raw.Control(func(fd uintptr) { done = pidfdReadable(int(fd)) })
	return done
}

func pidfdReadable(fd int) bool {
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(set, 0)
	return err == nil && n == 1
}

// Peek reads how the process ended and leaves it a zombie, so that whoever
// comes after a kill between reading and storing can read it again. ErrNotChild
// says that pause has it.
func (w *Watch) Peek() (Exit, error) { return w.waitid(unix.WEXITED | unix.WNOHANG | unix.WNOWAIT) }

// Reap ends the zombie, once its exit is stored.
func (w *Watch) Reap() {
	defer step.Change("reap container")()
	w.waitid(unix.WEXITED | unix.WNOHANG)
}

// Close stops watching.
func (w *Watch) Close() error { return w.file.Close() }

func (w *Watch) waitid(options int) (exit Exit, err error) {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return exit, err
	}
	var info waitInfo
	var errno error
	if err := raw.Control(func(fd uintptr) { errno = info.read(int(fd), options) }); err != nil {
		return exit, err
	}
	switch {
	case errors.Is(errno, unix.ECHILD):
		return exit, ErrNotChild
	case errno != nil:
		return exit, os.NewSyscallError("waitid", errno)
	case info.pid == 0:
		return exit, errors.New("the process has not ended")
	}
	return info.exit(), nil
}

// waitInfo is the part of siginfo_t that waitid(2) fills, on 64-bit machines.
type waitInfo struct {
	signo, errno, code, _ int32
	pid                   int32
	uid                   uint32
	status                int32
	_                     [100]byte
}

const cldExited = 1

func (i *waitInfo) read(pidfd, options int) error {
	for {
		err := unix.Waitid(unix.P_PIDFD, pidfd, i.siginfo(), options, nil)
		if err != unix.EINTR {
			return err
		}
	}
}

func (i *waitInfo) exit() Exit {
	if i.code == cldExited {
		return Exit{Code: int(i.status)}
	}
	return Exit{Code: 128 + int(i.status), Signal: int(i.status)}
}

func (i *waitInfo) siginfo() *unix.Siginfo { return (*unix.Siginfo)(unsafe.Pointer(i)) }
