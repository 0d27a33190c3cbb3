package monitor

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"podrun/image"
	"podrun/pod"
	"podrun/runtime"
	"podrun/sandbox"
)

// recover finds the containers that an earlier monitor left: those that run, or
// wait for their release, are taken over; of the rest the life learns that they
// have to be removed.
func (m containers) recover(s *Status) (alive map[string]int, err error) {
	alive = map[string]int{}
	for _, r := range s.Containers {
		a := m.newAttempt(r.Name, r.Attempt)
		c, err := runtime.Load(m.stateDir(), a.id)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		a.container = c
		phase, err := c.Phase()
		if err != nil {
			return nil, err
		}
		taken, err := m.takeOver(a, phase)
		if err != nil {
			return nil, fmt.Errorf("take over container %s: %w", a.id, err)
		}
		if taken {
			alive[r.Name] = r.Attempt
		}
	}
	return alive, nil
}

// takeOver goes on with a container's output, and watches it where it lives.
func (m containers) takeOver(a *attempt, phase runtime.Phase) (alive bool, err error) {
	a.stopSignal = unix.SIGTERM
	if c := m.spec(a.name); c != nil {
		img, err := m.images.Get(c.Image)
		if err != nil && !errors.Is(err, image.ErrNotFound) {
			return false, err
		}
		a.stopSignal = stopSignal(c, img)
	}
	if a.output, err = m.oldOutput(a); err != nil {
		// The pipes went with their pause: what they held cannot be had.
		fmt.Fprintf(os.Stderr, "podrun: %v\n", err)
		return false, nil
	}
	if phase != runtime.Gone {
		if a.watch, err = a.container.NewWatch(); err == nil {
			alive = true
			// Nobody waits any more for what the last monitor ran in it.
			if err := a.container.EndExecs(); err != nil {
				fmt.Fprintf(os.Stderr, "podrun: end the commands in container %s: %v\n", a.id, err)
			}
		} else if !errors.Is(err, os.ErrProcessDone) {
			return false, err
		}
	}
	m.attempts[a.id] = a
	return alive, nil
}

// watchAlive waits for the ends of the containers that were taken over.
func (m containers) watchAlive() {
	for _, a := range m.attempts {
		if a.watch != nil {
			go m.tellExit(a)
		}
	}
}

// tellOwed tells the life of those that ended while there was no monitor.
func (m containers) tellOwed(owed map[string]int) {
	for name, number := range owed {
		go func() { m.life.Exited(name, number, m.missedExit(name, number)) }()
	}
}

// missedExit is what pause saw of an exit, after the last output is in the log.
func (m containers) missedExit(name string, number int) pod.Exit {
	lost := lostEnd(m.rebooted, "when the pod's monitor came back")
	unknown := pod.Exit{Code: int(lost.ExitCode), Reason: lost.Reason, Message: lost.Message, At: time.Now()}
	a := m.find(name, number)
	if a == nil {
		return unknown
	}
	m.endRest(a)
	select {
	case <-a.output.ended:
	case <-time.After(drainTimeout):
	}
	e, err := m.ledgerEntry(a)
	if err != nil {
		return unknown
	}
	status := runtime.Exit{Code: e.Code, Signal: e.Signal}
	return pod.Exit{
		Code: e.Code, Signal: e.Signal, At: e.At,
		OOMKilled: a.container.OOMKills() > 0,
		Message:   m.terminationMessage(a, status),
	}
}

// The waits between the tries to replace a sandbox.
const (
	firstReplaceGap = 100 * time.Millisecond
	lastReplaceGap  = 10 * time.Second
)

// keepReplacing replaces the sandbox, however often it takes: what is in the way
// (a process that waits for a dead disk, a full one) may pass, and nobody else
// keeps the pod. It gives up a pod that was removed by force.
func (m *monitor) keepReplacing() {
	for gap := firstReplaceGap; ; gap = min(2*gap, lastReplaceGap) {
		err := m.replaceSandbox()
		if err == nil {
			return
		}
		fmt.Fprintf(os.Stderr, "podrun: replace the sandbox: %v\n", err)
		if _, err := m.store.ReadRecord(m.uid()); errors.Is(err, os.ErrNotExist) {
			return
		}
		trimLog(os.Stderr, logFile(m.store, m.uid()))
		time.Sleep(gap)
	}
}

// replaceSandbox is what follows the death of pause: the containers end, and a
// new pause with a new monitor goes on from the record. The lock and the
// control socket go along, so that nobody sees the pod without a keeper.
func (m *monitor) replaceSandbox() error {
	m.retiring.Store(true)
	m.stopRelays()
	if err := errors.Join(m.endInit(), m.clear(), m.host.Disconnect(m.uid()), removeAll(filesDir(m.store, m.uid()))); err != nil {
		return err
	}
	m.reapShared()
	leaf, err := sandbox.NewLeaf(m.store.Instance, m.uid())
	if err != nil {
		return err
	}
	return sandbox.InMounts(m.mounts, func() error {
		lock, control := m.keys()
		_, err := startSandbox(m.store, m.record, leaf, lock, control)
		return err
	})
}
