package logs

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// pipeSize is what the pipes hold, in bytes: what a container can print while no writer runs. It is the kernel's default
// limit for a pipe.
const pipeSize = 1 << 20

// Pipes are the descriptors of one stream that outlive a writer. Whoever outlives it keeps them all.
type Pipes struct {
	Source     *os.File // the read end of the container's output
	StageRead  *os.File // the two ends of the pipe that holds what is being written
	StageWrite *os.File
}

// NewPipes makes the pipes of one stream. The caller owns all descriptors; write goes to the container and must then be
// closed, for the end of the stream is the end of its last copy.
func NewPipes() (write *os.File, p Pipes, err error) {
	p.Source, write, err = pipe("output")
	if err != nil {
		return nil, Pipes{}, err
	}
	p.StageRead, p.StageWrite, err = pipe("stage")
	if err != nil {
		write.Close()
		p.Source.Close()
		return nil, Pipes{}, err
	}
	return write, p, nil
}

// Close closes all descriptors. What no writer has written is lost once no copy of them is left.
func (p Pipes) Close() {
	p.Source.Close()
	p.StageRead.Close()
	p.StageWrite.Close()
}

// pipe makes a pipe of pipeSize bytes. Unlike os.Pipe it leaves both ends blocking: programs do not expect a standard
// output that answers EAGAIN.
func pipe(name string) (read, write *os.File, err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("make pipe %s: %w", name, os.NewSyscallError("pipe2", err))
	}
	// A process without CAP_SYS_RESOURCE may have used up its share of pipe pages. A small pipe is only slower.
	_, _ = unix.FcntlInt(uintptr(ends[1]), unix.F_SETPIPE_SZ, pipeSize)
	return os.NewFile(uintptr(ends[0]), name), os.NewFile(uintptr(ends[1]), name), nil
}

// stage is the pipe between the container's output and the log.
type stage struct{ read, write int }

// held returns how many bytes the stage holds.
func (s stage) held() (int, error) { return readable(s.read) }

// filled is what fill found.
type filled int

const (
	filledSome   filled = iota // something was moved
	sourceEmpty                // there is nothing to move now
	sourceEnded                // there will never be anything to move again
	stageCrowded               // the stage has no place for another page, however little its pages hold
)

// fill moves up to n bytes, at least one, from the source to the stage.
func (s stage) fill(source, n int) (filled, error) {
	moved, err := splice(source, s.write, n)
	if err == unix.EAGAIN {
		if waiting, err := readable(source); err != nil || waiting == 0 {
			return sourceEmpty, err
		}
		// Only now is it known that the source was not empty.
		moved, err = splice(source, s.write, n)
	}
	switch {
	case err == unix.EAGAIN:
		return stageCrowded, nil
	case err != nil:
		return 0, os.NewSyscallError("splice", err)
	case moved == 0:
		return sourceEnded, nil
	}
	return filledSome, nil
}

// drain throws away what the stage holds, but for the last keep bytes.
func (s stage) drain(null, keep int) error {
	for {
		held, err := s.held()
		if err != nil || held <= keep {
			return err
		}
		if _, err := splice(s.read, null, held-keep); err != nil {
			return os.NewSyscallError("splice", err)
		}
	}
}

// splice moves up to n bytes between two pipes, or from a pipe to the null device. It copies no page. The error is a bare
// errno for the caller to look at.
func splice(from, to, n int) (int, error) {
	for {
		moved, err := unix.Splice(from, nil, to, nil, n, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if err != unix.EINTR {
			return int(moved), err
		}
	}
}

// readable returns how many bytes wait in a pipe.
func readable(fd int) (int, error) {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	return n, os.NewSyscallError("ioctl FIONREAD", err)
}
