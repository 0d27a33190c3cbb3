package claims

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"podrun/step"
)

// ErrInUse says that a claim is used in a way that excludes the caller.
var ErrInUse = errors.New("in use by another pod")

// lockFile lies beside a claim's data. Each pod that uses the claim has it
// locked, by flock(2), as long as any process has the descriptor: together with
// others, or alone.
const lockFile = "lock"

// Lock makes the directory of a claim and locks it for a user, or for the only user, until the returned file and every
// copy of it is closed. Where that cannot be yet it waits, or else says ErrInUse.
func Lock(dir string, alone, wait bool) (*os.File, error) {
	defer step.Change("lock claim")()
	for {
		if err := os.MkdirAll(dir, 0o700); errors.Is(err, fs.ErrNotExist) {
			continue // the last claim of the namespace takes the directory with it
		} else if err != nil {
			return nil, err
		}
		f, err := lock(dir, alone, wait)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
}

// lock does not make the directory. Nor does it return the lock of one that
// somebody has removed meanwhile: then the error is fs.ErrNotExist.
func lock(dir string, alone, wait bool) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_SH
	if alone {
		how = unix.LOCK_EX
	}
	if !wait {
		how |= unix.LOCK_NB
	}
	err = unix.EINTR
	for errors.Is(err, unix.EINTR) {
		err = unix.Flock(int(f.Fd()), how)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrInUse
	} else if err != nil {
		err = &os.PathError{Op: "lock", Path: path, Err: err}
	} else {
		err = stillAt(f, path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// stillAt complains unless the open file is the one at the path.
func stillAt(f *os.File, path string) error {
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	found, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(opened, found) {
		return &os.PathError{Op: "lock", Path: path, Err: fs.ErrNotExist}
	}
	return nil
}
