package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"podrun/netns"
	"podrun/sandbox"
	"podrun/state"
	"podrun/volumes"
)

// Teardown undoes a pod from its name and uid alone: what `up` or a monitor
// made, however far it came. It may run any number of times, also half way
// through another's.
type Teardown struct {
	Store  *state.Store
	Host   netns.Host
	Ref    state.Ref
	LogDir string
}

// killTimeout bounds the wait for killed processes.
const killTimeout = 10 * time.Second

type step struct {
	name string
	do   func() error
}

// Sandbox removes what exists only while the pod runs. The record, the status
// and the logs stay.
func (t Teardown) Sandbox() error { return run(t.sandboxSteps()) }

// All removes the pod. The record and the name go last, and only when all the
// rest is gone: while the name is taken, what is left can be found.
func (t Teardown) All() error {
	err := run(append(t.sandboxSteps(),
		step{"remove the logs", t.removeLogs},
		step{"remove the volumes", func() error { return volumes.Remove(filepath.Join(t.Store.PodDir(t.Ref.UID), "volumes")) }},
	))
	if err != nil {
		return err
	}
	if err := removeAll(t.Store.PodDir(t.Ref.UID)); err != nil {
		return fmt.Errorf("remove the record: %w", err)
	}
	return t.Store.Release(t.Ref.Namespace, t.Ref.Name, t.Ref.UID)
}

func (t Teardown) sandboxSteps() []step {
	instance, uid := t.Store.Instance, t.Ref.UID
	leaf, cgroup := sandbox.LeafPath(instance, uid), sandbox.PodPath(instance, uid)
	return []step{
		// Pause and monitor first: a monitor would restart what is killed.
		{"end the sandbox's processes", func() error { return sandbox.KillCgroup(leaf, killTimeout) }},
		{"end the containers", func() error { return sandbox.KillCgroup(cgroup, killTimeout) }},
		{"disconnect the network", func() error { return t.Host.Detach(uid) }},
		{"remove the cgroups", func() error {
			return errors.Join(sandbox.RemoveCgroup(cgroup), sandbox.RemoveCgroup(leaf))
		}},
		{"remove the shared cgroups", func() error { sandbox.RemoveInstance(instance); return nil }},
		{"remove the run directory", func() error { return removeAll(t.Store.RunDir(uid)) }},
	}
}

// run does all steps, whatever becomes of one.
func run(steps []step) error {
	var errs []error
	for _, s := range steps {
		if err := s.do(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	return errors.Join(errs...)
}

func (t Teardown) removeLogs() error {
	return removeAll(state.LogPath(t.LogDir, t.Ref))
}

// removeAll removes a tree that only podrun writes to. Another teardown may be
// at work on it.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTEMPTY) {
		err = os.RemoveAll(dir)
	}
	return err
}
