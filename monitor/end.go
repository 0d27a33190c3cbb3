package monitor

import (
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
	a.ending.Do(func() {
		go func() {
			for {
				select {
				case <-a.exited:
					return
				case <-time.After(endGap):
					runtime.WakeReapers()
				}
			}
		}()
	})
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
