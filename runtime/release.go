package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"podrun/step"
)

const (
	// releasedFile holds the time of the release.
	releasedFile = "released"
	// fifoFile is libcontainer's: a prepared first process waits to open it for
	// writing, writes one byte and becomes the container's program.
	fifoFile = "exec.fifo"
)

var errNeverRan = errors.New("its first process ended before it became the container's program; a seccomp profile that forbids what that takes is one reason")

// Start releases the prepared container: its program runs. Asked again, it
// releases nothing and returns the time of the first release.
//
// hold opens the FIFO that it is given, as a path, for reading, and keeps it open
// beyond the life of this process: if the one reader died before the first process
// had written to it, that would end with EPIPE and never become the container's
// program. libcontainer's own Exec is such a reader. With nil this process holds it.
func (c *Container) Start(hold func(fifo *os.File) error) (time.Time, error) {
	file := filepath.Join(c.dir, releasedFile)
	phase, err := c.Phase()
	if err != nil {
		return time.Time{}, err
	}
	if phase == Waiting {
		done := step.Change("note release of container")
		now := time.Now()
		if err := os.WriteFile(file, []byte(now.Format(time.RFC3339Nano)), 0o600); err != nil {
			return time.Time{}, err
		}
		done()
		if err := c.release(hold); err != nil {
			return time.Time{}, fmt.Errorf("release container: %w", err)
		}
		return now, nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return time.Time{}, fmt.Errorf("release container: %w", errNeverRan)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("release container: %w", err)
	}
	return time.Parse(time.RFC3339Nano, string(text))
}

func (c *Container) release(hold func(fifo *os.File) error) error {
	defer step.Change("release container")()
	path := filepath.Join(c.dir, fifoFile)
	first, err := c.NewWatch()
	if err != nil {
		return err
	}
	defer first.Close()
	if hold != nil {
		fifo, err := os.OpenFile(path, unix.O_PATH, 0)
		if err != nil {
			return err
		}
		err = hold(fifo)
		if err = errors.Join(err, fifo.Close()); err != nil {
			return err
		}
	}
	reader, err := openReader(path)
	if err != nil {
		return err
	}
	defer unix.Close(reader)
	if err := c.awaitRelease(reader, first); err != nil {
		return err
	}
	// Like libcontainer, which takes a container with this file for a waiting one.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// openReader lets who waits to write go on.
func openReader(path string) (int, error) {
	defer step.Change("open release")()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// releasePoll is how often the first process is looked at that an earlier
// process of this kind may have released.
const releasePoll = 10 * time.Millisecond

// awaitRelease returns when the first process has written to the FIFO. The byte
// stays in it: should this process be killed now, the next one finds it.
func (c *Container) awaitRelease(reader int, first *Watch) error {
	for {
		set := []unix.PollFd{{Fd: int32(reader), Events: unix.POLLIN}}
		_, err := unix.Poll(set, int(releasePoll/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
		if set[0].Revents&unix.POLLIN != 0 {
			return nil
		}
		if first.ended() {
			return errNeverRan
		}
		if set[0].Revents&unix.POLLHUP != 0 {
			time.Sleep(time.Millisecond) // poll does not wait any more
		}
	}
}
