package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"podrun/pod"
	"podrun/sandbox"
	"podrun/state"
)

// Status is what the monitor writes into a pod's status file.
type Status struct {
	Version int `json:"version"`
	// Serial counts the statuses of the pod: of two the later is the pod's.
	Serial uint64 `json:"serial,omitempty"`
	// Saved is when, by the clocks of the machine.
	Saved clocks `json:"saved,omitzero"`
	pod.Checkpoint
	// NotMade says why the pod could not be made. Such a pod is being removed.
	NotMade string `json:"notMade,omitempty"`
	// Ended is set when the pod has come to its end and its sandbox is gone.
	Ended bool `json:"ended,omitempty"`
}

// Removing: the pod is being taken down. One that is to go on later is not.
func (s *Status) Removing() bool { return s.Stop != nil && !s.Stop.Resume }

// clocks are one moment on the wall clock, which may be set at any time, and on
// that of the boot, which may not.
type clocks struct {
	Wall time.Time     `json:"wall"`
	Boot time.Duration `json:"boot"` // nanoseconds
	ID   string        `json:"id"`   // of the boot
}

func clocksNow(s *state.Store) clocks {
	return clocks{Wall: time.Now(), Boot: sandbox.SinceBoot(), ID: s.Boot}
}

// leastShift is by how much the wall clock must have been set to be noticed: the
// two are not read at the same instant.
const leastShift = 100 * time.Millisecond

// shift is by how much the wall clock was set between the moments was and now.
// After a reboot nobody knows.
func (now clocks) shift(was clocks) time.Duration {
	if was.ID != now.ID || was.ID == "" {
		return 0
	}
	d := now.Wall.Round(0).Sub(was.Wall.Round(0)) - (now.Boot - was.Boot)
	if d.Abs() < leastShift {
		return 0
	}
	return d
}

// checkpoint is the pod's status as this monitor knows it, which is on disk too,
// unless that is full: then pause has it, for the next monitor, until there is room.
type checkpoint struct {
	store *state.Store
	uid   string
	pause *sandbox.Client

	mu      sync.Mutex
	status  Status
	waiting bool             // for room on the disk
	owed    state.Durability // of what waits
	retry   *time.Timer
	synced  *time.Timer // while a sync is to come
}

// keptStatus is the name by which pause keeps a status that the disk cannot take.
const keptStatus = "status"

// retryGap is the wait until a status is stored again that the disk did not take.
const retryGap = time.Second

// keep changes the status and stores it. After an error the next monitor will find
// it all the same, and it is stored as soon as the disk takes it.
func (c *checkpoint) keep(d state.Durability, change func(*Status)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.status)
	c.status.Version, c.status.Serial, c.status.Saved = state.Version, c.status.Serial+1, clocksNow(c.store)
	c.owed = c.owed || d
	return c.write()
}

// write tries to bring the disk up to date. The caller holds the mutex.
func (c *checkpoint) write() error {
	err := c.store.WriteStatus(c.uid, &c.status, c.owed)
	if err == nil {
		if c.waiting {
			c.waiting = false
			c.pause.Drop(keptStatus) // should it stay, its serial tells that it is old
		}
		if c.owed == state.Volatile && c.synced == nil {
			c.synced = time.AfterFunc(syncGap, c.sync)
		}
		c.owed = state.Volatile
		return nil
	}
	c.waiting = true
	if kerr := c.give(); kerr != nil {
		err = errors.Join(err, fmt.Errorf("let pause keep the status: %w", kerr))
	}
	if c.retry == nil {
		c.retry = time.AfterFunc(retryGap, c.again)
	} else {
		c.retry.Reset(retryGap)
	}
	return err
}

// syncGap is how much later than it happened a power cut cannot undo what nobody
// waits for, such as that a container has started. No up waits for the disk for it.
const syncGap = time.Second

func (c *checkpoint) sync() {
	c.mu.Lock()
	c.synced = nil
	c.mu.Unlock()
	c.store.SyncStatus(c.uid) // else the next durable one will do
}

// give lets pause keep the status.
func (c *checkpoint) give() error {
	data, err := json.Marshal(&c.status)
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate(keptStatus, unix.MFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), keptStatus)
	defer f.Close()
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return c.pause.Keep(keptStatus, f)
}

// stop ends the tries: the pod's files are about to go.
func (c *checkpoint) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = false
	if c.retry != nil {
		c.retry.Stop()
	}
	if c.synced != nil {
		c.synced.Stop()
	}
}

func (c *checkpoint) again() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting {
		c.write()
	}
}

// last is the status as it is now.
func (c *checkpoint) last() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// resumeStatus is what the last monitor knew. A status that cannot be read is
// one that a damaged disk holds: the containers of which nobody knows anything
// end, and the pod begins anew.
func (m *monitor) resumeStatus() (*Status, error) {
	var s Status
	err := m.store.ReadStatus(m.uid(), &s)
	if errors.Is(err, state.ErrNewer) {
		return nil, err
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if later := m.checkpoint.ofPause(); later != nil && (err != nil || later.Serial > s.Serial) {
		s, err = *later, nil
		m.checkpoint.waiting = true
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "podrun: begin the pod anew: %v\n", err)
		s, err = Status{}, m.clear()
	}
	s.Shift(clocksNow(m.store).shift(s.Saved))
	m.checkpoint.mu.Lock()
	defer m.checkpoint.mu.Unlock()
	m.checkpoint.status = s
	return &s, err
}

// ofPause is the status that pause keeps; nil where it keeps none: usually.
func (c *checkpoint) ofPause() *Status {
	f, err := c.pause.Take(keptStatus)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	data := make([]byte, info.Size())
	var s Status
	if _, err := f.ReadAt(data, 0); err != nil || json.Unmarshal(data, &s) != nil {
		return nil
	}
	return &s
}

// awaitRoom waits until the end of the pod is on the disk, or is of no interest
// any more because the pod is to be removed.
func (m *monitor) awaitRoom() {
	for {
		m.checkpoint.mu.Lock()
		stored := !m.checkpoint.waiting || m.checkpoint.write() == nil || m.checkpoint.status.Removing()
		m.checkpoint.mu.Unlock()
		if stored {
			return
		}
		if m.board.stopAsked() {
			m.checkpoint.keep(state.Durable, func(s *Status) { s.Stop = &pod.Stop{} })
			return
		}
		time.Sleep(retryGap)
	}
}
