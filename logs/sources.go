package logs

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// sourceSet holds the sources that are being copied, so that those who wait for them can be woken.
type sourceSet struct {
	mu          sync.Mutex
	files       map[*os.File]struct{}
	interrupted bool
}

// add returns a copy of a pipe's read end that the runtime's poller watches: waiting for it blocks no thread. Not
// blocking is a property that all copies of the read end share; the write end has its own.
func (s *sourceSet) add(pipe *os.File) (*os.File, error) {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var dupErr error
	err = conn.Control(func(original uintptr) {
		fd, dupErr = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 3)
	})
	if err == nil {
		err = os.NewSyscallError("fcntl", dupErr)
	}
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(fd), pipe.Name())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.interrupted {
		file.Close()
		return nil, fmt.Errorf("watch %s: %w", pipe.Name(), os.ErrClosed)
	}
	if s.files == nil {
		s.files = map[*os.File]struct{}{}
	}
	s.files[file] = struct{}{}
	return file, nil
}

// remove closes a file that add returned.
func (s *sourceSet) remove(file *os.File) {
	s.mu.Lock()
	delete(s.files, file)
	s.mu.Unlock()
	file.Close()
}

// interrupt wakes everybody who waits for a source, now and later, with os.ErrDeadlineExceeded.
func (s *sourceSet) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interrupted = true
	for file := range s.files {
		_ = file.SetReadDeadline(time.Unix(1, 0))
	}
}
