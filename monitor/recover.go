package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
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
func (m *monitor) recover(s *Status) (alive map[string]int, err error) {
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
func (m *monitor) takeOver(a *attempt, phase runtime.Phase) (alive bool, err error) {
	for _, c := range append(m.pod.Spec.InitContainers[:len(m.pod.Spec.InitContainers):len(m.pod.Spec.InitContainers)], m.pod.Spec.Containers...) {
		if c.Name != a.name {
			continue
		}
		if img, err := m.images.Get(c.Image); err == nil {
			a.stopSignal = stopSignal(img)
		} else if !errors.Is(err, image.ErrNotFound) {
			return false, err
		}
	}
	if a.stopSignal == 0 {
		a.stopSignal = unix.SIGTERM
	}
	if a.output, err = m.oldOutput(a); err != nil {
		// The pipes went with their pause: what they held cannot be had.
		fmt.Fprintf(os.Stderr, "podrun: %v\n", err)
		return false, nil
	}
	if phase != runtime.Gone {
		if a.watch, err = a.container.NewWatch(); err == nil {
			alive = true
		} else if !errors.Is(err, os.ErrProcessDone) {
			return false, err
		}
	}
	m.attempts[a.id] = a
	return alive, nil
}

// watchAlive waits for the ends of the containers that were taken over.
func (m *monitor) watchAlive() {
	for _, a := range m.attempts {
		if a.watch != nil {
			go m.tellExit(a)
		}
	}
}

// tellOwed tells the life of those that ended while there was no monitor.
func (m *monitor) tellOwed(owed map[string]int) {
	for name, number := range owed {
		go func() { m.life.Exited(name, number, m.missedExit(name, number)) }()
	}
}

// missedExit is what pause saw of an exit, after the last output is in the log.
func (m *monitor) missedExit(name string, number int) pod.Exit {
	unknown := pod.Exit{Code: 137, Reason: "ContainerStatusUnknown", Message: "The container could not be located when the pod's monitor came back", At: time.Now()}
	a := m.find(name, number)
	if a == nil {
		return unknown
	}
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

// replaceSandbox is what follows the death of pause: the containers end, and a
// new pause with a new monitor goes on from the record. The lock and the
// control socket go along, so that nobody sees the pod without a keeper.
func (m *monitor) replaceSandbox() error {
	if err := errors.Join(m.clear(), m.host.Detach(m.uid())); err != nil {
		return err
	}
	leaf, err := sandbox.NewCgroup(sandbox.LeafPath(m.store.Instance, m.uid()), nil)
	if err != nil {
		return err
	}
	return sandbox.InMounts(m.mounts, func() error {
		_, err := startSandbox(m.store, m.record, leaf, m.lock, m.control)
		return err
	})
}

// Exec runs a command for a probe; see [pod.Runtime].
func (m *monitor) Exec(ctx context.Context, container string, number int, argv []string) (pod.ExecResult, error) {
	a := m.find(container, number)
	if a == nil {
		return pod.ExecResult{}, fmt.Errorf("container %s is not running", container)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return pod.ExecResult{}, err
	}
	defer read.Close()
	e, err := a.container.Exec(runtime.Command{Args: argv, Stdout: write, Stderr: write})
	write.Close()
	if err != nil {
		return pod.ExecResult{}, err
	}
	killed := context.AfterFunc(ctx, func() { e.Signal(unix.SIGKILL) })
	defer killed()
	output := make(chan []byte, 1)
	go func() { output <- readSome(read) }()
	exit, err := e.Wait()
	if ctx.Err() != nil {
		return pod.ExecResult{}, ctx.Err()
	}
	if err != nil {
		return pod.ExecResult{}, err
	}
	// A child of the command may hold the pipe for ever.
	read.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	return pod.ExecResult{Code: exit.Code, Output: <-output}, nil
}

// maxProbeOutput is the kubelet's limit (prober, maxReadLength).
const maxProbeOutput = 10 << 10

func readSome(f *os.File) []byte {
	var kept []byte
	buf := make([]byte, 4096)
	for {
		n, err := f.Read(buf)
		kept = append(kept, buf[:min(n, maxProbeOutput-len(kept))]...)
		if err != nil {
			return []byte(strings.TrimRight(string(kept), "\n"))
		}
	}
}
