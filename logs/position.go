package logs

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A log line is written exactly once, although its writer may be killed between any two instructions. What a dead writer
// leaves lies in things that outlive it: two pipes a stream and a position in shared memory.
//
//	container ──▶ source ──splice──▶ stage ──tee──▶ peek pipe ──read──▶ records ──pwrite──▶ file
//	                                   │
//	                                   └──splice──▶ /dev/null
//
//	phase      the position says            a new writer                     the old one goes on by
//	idle       offset                       goes on                          moving output to the stage, formatting it
//	writing    offset, time, first n bytes  writes the same records again,   pwrite at offset
//	           of the stage                 at the same place
//	draining   offset after them, bytes     drains down to those bytes       draining the stage, then idle
//	           that stay in the stage
//	rotating   name of the old part         renames and creates what is      rename, create, then idle with offset 0
//	                                        not renamed and created yet
//
// Each byte of output is in the source or in the stage until the records that hold it are in the file and the position
// says so. Nothing enters the stage outside of idle, so what is left to drain can be counted at any time. Records made
// again are the same bytes, so somebody who followed the file during the kill has read nothing that is not so.
type phase uint32

const (
	idle phase = iota
	writing
	draining
	rotating
)

// place is what a position holds. Its fields have fixed sizes: a newer binary may take over from an older one.
type place struct {
	owner   uint64 // hash of the path of the log, so that a slot can serve another attempt
	offset  int64  // where the next record goes in the file
	phase   phase
	stream  uint32 // writing, draining: whose stage
	bytes   int64  // writing: how many bytes of the stage; draining: how many stay there
	time    int64  // of the last batch, in nanoseconds since 1970; see stampAfter
	rotated int64  // rotating: time in the name of the old part, in seconds since 1970
}

// slot holds two places, so that one can be written while the other is valid: the one that turn, taken modulo 2, names.
type slot struct {
	turn   uint64
	places [2]place
}

// slotSize leaves room for a later field. It divides every page size.
const slotSize = 128

var _ = [slotSize - unsafe.Sizeof(slot{})]byte{}

// Slots is the number of positions in one memory. A slot takes memory only once it is used.
const Slots = 8192

// NewMemory makes the memory for positions. Whoever outlives the writers keeps it.
func NewMemory() (*os.File, error) {
	const name = "podrun-logs"
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("make memory for log positions: %w", os.NewSyscallError("memfd_create", err))
	}
	f := os.NewFile(uintptr(fd), name)
	if err := f.Truncate(Slots * slotSize); err != nil {
		f.Close()
		return nil, fmt.Errorf("size memory for log positions: %w", err)
	}
	return f, nil
}

// Position is the place up to which a log is written. It survives its process.
type Position struct {
	page []byte
	slot *slot
}

// MapPosition opens a slot of a memory, 0 to Slots-1. A slot serves one log at a time; the next log to be written with it
// takes it over. f may be closed afterwards.
func MapPosition(f *os.File, number int) (*Position, error) {
	if number < 0 || number >= Slots {
		return nil, fmt.Errorf("map log position %d: there are %d", number, Slots)
	}
	size := os.Getpagesize()
	start := number * slotSize
	page, err := unix.Mmap(int(f.Fd()), int64(start/size*size), size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map log position %d: %w", number, os.NewSyscallError("mmap", err))
	}
	return &Position{page: page, slot: (*slot)(unsafe.Pointer(&page[start%size]))}, nil
}

// Close unmaps the position. It must not be in use.
func (p *Position) Close() error {
	return os.NewSyscallError("munmap", unix.Munmap(p.page))
}

// load returns the last place stored.
func (p *Position) load() place {
	return p.slot.places[atomic.LoadUint64(&p.slot.turn)%2]
}

// store replaces the place: a kill leaves the old one or the new one. The atomic store is a release: it becomes visible
// after the place that it makes valid.
func (p *Position) store(new place) {
	turn := atomic.LoadUint64(&p.slot.turn) + 1
	p.slot.places[turn%2] = new
	atomic.StoreUint64(&p.slot.turn, turn)
}
