package state

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// ErrLocked is returned where another process holds a lock.
var ErrLocked = errors.New("locked by another process")

// Locks are open file description locks (fcntl(2)): they live as long as any
// copy of the descriptor does, whichever process has it, and can be tested
// without being taken.

// TryLock takes the lock at path, making the file if needed. The caller holds
// it until the file, and every copy passed on, is closed. ErrLocked says that
// somebody else has it. A holder may remove the file: who gets the lock of one that
// is not at path any more tries again.
func TryLock(path string) (*os.File, error) { return lock(path, unix.F_OFD_SETLK) }

// LockFile is TryLock that waits for its turn.
func LockFile(path string) (*os.File, error) { return lock(path, unix.F_OFD_SETLKW) }

func lock(path string, cmd int) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := take(f, cmd); err != nil {
			f.Close()
			return nil, err
		}
		if isAt(f, path) {
			return f, nil
		}
		f.Close()
	}
}

// isAt tells whether the open file is the one at the path.
func isAt(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	found, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, found)
}

func take(f *os.File, cmd int) error {
	for {
		switch err := unix.FcntlFlock(f.Fd(), cmd, &unix.Flock_t{Type: unix.F_WRLCK}); err {
		case nil:
			return nil
		case unix.EINTR:
		case unix.EAGAIN, unix.EACCES:
			return &os.PathError{Op: "lock", Path: f.Name(), Err: ErrLocked}
		default:
			return &os.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}

// flock waits for the turn on an open directory, which cannot be written to and
// so cannot have a write lock of the other kind (flock(2)).
func flock(dir *os.File) error {
	for {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX)
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return &os.PathError{Op: "lock", Path: dir.Name(), Err: err}
		}
	}
}

// Held is a lock that another process may hold. It is opened while its file is
// there, because a holder may remove the file before it lets go.
type Held struct{ file *os.File }

// OpenHeld opens the lock at path. A missing file is not held.
func OpenHeld(path string) (*Held, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return &Held{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &Held{f}, nil
}

// Wait returns when nobody holds the lock any more, and closes it.
func (h *Held) Wait() error {
	if h.file == nil {
		return nil
	}
	defer h.Close()
	return take(h.file, unix.F_OFD_SETLKW)
}

// Close stops waiting. It may be called again.
func (h *Held) Close() error {
	if h.file == nil {
		return nil
	}
	err := h.file.Close()
	h.file = nil
	return err
}

// Locked tells whether anybody holds the lock at path. A missing file is not locked.
func Locked(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	probe := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &probe); err != nil {
		return false, &os.PathError{Op: "test lock", Path: path, Err: err}
	}
	return probe.Type != unix.F_UNLCK, nil
}
