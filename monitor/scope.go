package monitor

import (
	"os"
	"os/signal"
	"time"

	"podrun/sandbox"
)

// scope is the pod's unit where systemd is init. It may take half a minute more
// than its containers to end.
func (m *monitor) scope() sandbox.Scope {
	grace := int64(30)
	if g := m.pod.Spec.TerminationGracePeriodSeconds; g != nil {
		grace = *g
	}
	return sandbox.Scope{
		Instance: m.store.Instance, UID: m.uid(), Pause: m.pauseID,
		Description: "podrun: pod " + m.pod.Namespace + "/" + m.pod.Name,
		Stop:        time.Duration(grace)*time.Second + 30*time.Second,
	}
}

// enteredScope waits until the pod's scope is there, where it has one: before
// that nothing may be made below it.
func (m *monitor) enteredScope() error {
	if !sandbox.Delegated() {
		return nil
	}
	return m.entering.Load().wait()
}

// enterLeaf puts this monitor where it belongs before it starts others there.
func (m *monitor) enterLeaf() error {
	if sandbox.Delegated() {
		return m.enteredScope()
	}
	return sandbox.JoinLeaf(sandbox.LeafPath(m.store.Instance, m.uid()))
}

// watchSuspend ends the pod in order, to go on later, when systemd ends its
// scope: the machine is shut down, and nobody has done it before.
func (m *monitor) watchSuspend() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, sandbox.Suspend)
	for range asked {
		m.board.take(Request{Suspend: true})
	}
}
