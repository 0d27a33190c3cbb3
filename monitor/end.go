package monitor

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"podrun/runtime"
	"podrun/sandbox"
)

// Terminate sends the stop signal; see [pod.Runtime].
func (m containers) Terminate(container string, number int) error {
	if a := m.find(container, number); a != nil && a.container != nil {
		m.easeEnd(a)
		return a.container.Signal(a.stopSignal)
	}
	return nil
}

// endGap is how long the end of a container may take before it is asked what is in
// its way.
const endGap = time.Second

// easeEnd lets the container end that has been told to, whoever has stopped a
// podrun that has a command of it to reap.
func (m containers) easeEnd(a *attempt) {
	if a.watch == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	a.ending = true
	if !m.easing {
		m.easing = true
		go m.easeEnds()
	}
}

// easeEnds looks after all containers that have been told to end, until they have.
func (m containers) easeEnds() {
	for {
		time.Sleep(endGap)
		ending := m.ending()
		if len(ending) == 0 {
			return
		}
		// All processes of the machine are looked at only where that can help.
		if slices.ContainsFunc(ending, func(a *attempt) bool { return a.container.Exiting() }) {
			runtime.WakeReapers()
		}
	}
}

// ending are the containers that have been told to end and have not. Where there are
// none, nobody eases any more.
func (m containers) ending() []*attempt {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*attempt
	for _, a := range m.attempts {
		select {
		case <-a.exited:
		default:
			if a.ending {
				list = append(list, a)
			}
		}
	}
	m.easing = len(list) > 0
	return list
}

// Kill ends all processes of the container; see [pod.Runtime].
func (m containers) Kill(container string, number int) error {
	a := m.find(container, number)
	if a == nil || a.container == nil {
		return nil
	}
	m.easeEnd(a)
	err := a.container.Signal(unix.SIGKILL)
	sandbox.Thaw(sandbox.ContainerPath(m.store.Instance, m.uid(), a.id))
	m.endRest(a)
	return err
}
