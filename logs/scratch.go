package logs

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// batchSize bounds what is written at once, in bytes of output. Batches that stay in the processor's cache between
	// two copies are faster than large ones.
	batchSize = 256 << 10
	// recordSize bounds the records of a batch. Lines of 40 bytes and more fill the whole batch; shorter ones take turns.
	recordSize = 2 * batchSize
	// scratchIdle is how long unused scratch is kept.
	scratchIdle = time.Second
)

// scratch is what a writer needs only while there is something to write: a few hundred KiB and three descriptors, which
// busy writers hand to each other and idle ones do without.
type scratch struct {
	memory    []byte // bytes and records, outside the heap, so that they can be given back at once
	bytes     []byte
	records   []byte
	header    [headerWidth]byte
	peekRead  *os.File
	peekWrite *os.File
	null      *os.File
}

// scratches are those not in use.
var scratches struct {
	sync.Mutex
	free []*scratch
	trim *time.Timer
}

// takeScratch returns scratch that nobody else uses; the caller gives it back or closes it.
func takeScratch() (*scratch, error) {
	scratches.Lock()
	if last := len(scratches.free) - 1; last >= 0 {
		s := scratches.free[last]
		scratches.free = scratches.free[:last]
		scratches.Unlock()
		return s, nil
	}
	scratches.Unlock()
	return newScratch()
}

// giveBack keeps s for the next writer, for a while.
func (s *scratch) giveBack() {
	scratches.Lock()
	defer scratches.Unlock()
	scratches.free = append(scratches.free, s)
	if scratches.trim == nil {
		scratches.trim = time.AfterFunc(scratchIdle, trimScratches)
	} else {
		scratches.trim.Reset(scratchIdle)
	}
}

// trimScratches closes all unused scratch.
func trimScratches() {
	scratches.Lock()
	unused := scratches.free
	scratches.free = nil
	scratches.Unlock()
	for _, s := range unused {
		s.close()
	}
}

func newScratch() (_ *scratch, err error) {
	s := &scratch{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.memory, err = unix.Mmap(-1, 0, batchSize+recordSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("map log buffers: %w", os.NewSyscallError("mmap", err))
	}
	s.bytes, s.records = s.memory[:batchSize], s.memory[batchSize:]
	if s.peekRead, s.peekWrite, err = pipe("peek"); err != nil {
		return nil, err
	}
	if s.null, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0); err != nil {
		return nil, fmt.Errorf("open the log's drain: %w", err)
	}
	return s, nil
}

func (s *scratch) close() {
	if s.memory != nil {
		_ = unix.Munmap(s.memory)
	}
	for _, f := range []*os.File{s.peekRead, s.peekWrite, s.null} {
		if f != nil {
			f.Close()
		}
	}
}

// peek reads the first bytes of the stage, at most limit, and leaves them there. After an error s must be closed.
func (s *scratch) peek(st stage, limit int) ([]byte, error) {
	var n int64
	for {
		var err error
		n, err = unix.Tee(st.read, int(s.peekWrite.Fd()), min(limit, batchSize), unix.SPLICE_F_NONBLOCK)
		if err == unix.EAGAIN {
			return nil, nil
		}
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return nil, os.NewSyscallError("tee", err)
		}
	}
	if _, err := io.ReadFull(s.peekRead, s.bytes[:n]); err != nil {
		return nil, fmt.Errorf("read the log's peek pipe: %w", err)
	}
	return s.bytes[:n], nil
}

// format makes records of src, as appendRecords does.
func (s *scratch) format(src []byte, stream Stream, at time.Time, flush bool) (out []byte, used int) {
	return appendRecords(s.records[:0], src, appendHeader(s.header[:0], stream, at), flush)
}
