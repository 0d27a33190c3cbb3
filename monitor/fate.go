package monitor

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"time"

	"podrun/sandbox"
)

// What becomes of the sandbox is decided once: it ends with the pod, or it is
// replaced because pause has died. Both at a time would undo each other.
const (
	undecided int32 = iota
	leaving
	replacing
)

// aside is where the work on a pod comes to rest when pause has died of itself.
type aside struct {
	once    sync.Once
	reached chan struct{}
}

// standAside leaves the pod to watchPause, which ends this process.
func (m *monitor) standAside() {
	m.aside.once.Do(func() { close(m.aside.reached) })
	select {}
}

// yield does not return where pause has died of itself: what failed with it is
// not the pod's fault.
func (m *monitor) yield() {
	if m.fate.Load() != leaving && m.orphaned() {
		m.standAside()
	}
}

// orphaned reports whether pause has ended. Its line is closed a moment before
// the kernel gives its children to another.
func (m *monitor) orphaned() bool {
	if _, err := m.pause.Names(); err == nil {
		return false
	}
	for deadline := time.Now().Add(killTimeout); os.Getppid() == m.pauseID && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	return os.Getppid() != m.pauseID
}

var errPauseDied = errors.New("the pause process has died")

// watchPause acts when pause has died: without it exits and output would be
// lost. The containers end, as under a kubelet whose sandbox died, and the
// monitor of the next sandbox, which is made here, goes by their restart policy.
func (m *monitor) watchPause() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, sandbox.PauseDied)
	if os.Getppid() == m.pauseID { // else it died before anybody listened
		<-died
	}
	if !m.fate.CompareAndSwap(undecided, replacing) {
		return
	}
	// What the death of pause makes fail is not the containers' fault: the life
	// must not hold it against them.
	m.abandon(errPauseDied)
	m.awaitRest()
	m.keepReplacing()
	os.Exit(1)
}

// restTimeout bounds the wait for work that hangs, on a dead disk say. What it
// still makes is found by the next monitor.
const restTimeout = 5 * time.Second

// awaitRest waits until nothing of this monitor works on the sandbox any more:
// what it would make or undo late would be in the way of the next one.
func (m *monitor) awaitRest() {
	rest := make(chan struct{})
	go func() {
		defer close(rest)
		<-m.aside.reached
		m.closeChanges()
		m.settled()
		m.mu.Lock()
		departing := m.departing
		m.mu.Unlock()
		if departing {
			<-m.depart().detached
		}
	}()
	select {
	case <-rest:
	case <-time.After(restTimeout):
	}
}
