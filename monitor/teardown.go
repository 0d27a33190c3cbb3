package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"podrun/netns"
	"podrun/sandbox"
	"podrun/state"
	"podrun/step"
	"podrun/tree"
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

type part struct {
	name string
	do   func() error
}

// Sandbox removes what exists only while the pod runs. The record, the status
// and the logs stay.
func (t Teardown) Sandbox() error {
	if err := t.end(); err != nil {
		return err
	}
	return together(t.sandboxParts())
}

// Ended removes what a pod that has come to its end has no more. As under the
// kubelet its own volumes end with its containers.
func (t Teardown) Ended() error {
	return errors.Join(t.Sandbox(), t.removeRoots(), t.removeVolumes())
}

// Alone is All for one who does not keep the pod. It holds the pod's lock, so
// that nobody brings the pod back half way; state.ErrLocked says that somebody
// keeps it, or is at work on it. A name that has another pod is left alone.
func (t Teardown) Alone() error {
	for {
		holder, err := t.Store.Lookup(t.Ref.Namespace, t.Ref.Name)
		if errors.Is(err, os.ErrNotExist) || err == nil && holder != t.Ref.UID {
			return nil // the name is given up last: nothing is left
		}
		if err != nil {
			return err
		}
		lock, err := keep(t.Store, t.Ref.UID)
		if errors.Is(err, os.ErrNotExist) {
			continue // another teardown took the directory
		}
		if err != nil {
			return err
		}
		defer lock.Close()
		if err := t.All(); err != nil {
			return err
		}
		// No monitor has stored that the pod was to be removed.
		return t.Store.SyncNames(t.Ref.Namespace)
	}
}

// keep takes the pod's lock, in a run directory that it makes where it is missing.
func keep(s *state.Store, uid string) (*os.File, error) {
	done := step.Change("make run directory")
	if err := os.MkdirAll(s.RunDir(uid), 0o700); err != nil {
		return nil, err
	}
	done()
	defer step.Change("take lock")()
	return state.TryLock(lockPath(s, uid))
}

// All removes the pod. The record, then the lock, and then the name go last, and
// only when all the rest is gone: while the name is taken, what is left can be
// found, and who gets a lock after this can see that the record is gone.
func (t Teardown) All() error {
	if err := t.end(); err != nil {
		return err
	}
	if err := together(append(t.sandboxParts(),
		part{"remove the logs", func() error { return removeAll(state.LogPath(t.LogDir, t.Ref)) }},
		part{"remove the containers", t.removeRoots},
		part{"remove the pod's claims", t.removeOwnClaims},
		part{"remove the volumes", t.removeVolumes},
	)); err != nil {
		return err
	}
	if err := t.removeRecord(); err != nil {
		return fmt.Errorf("remove the record: %w", err)
	}
	if err := RemoveRun(t.Store, t.Ref.UID); err != nil {
		return fmt.Errorf("remove the run directory: %w", err)
	}
	if t.Ref.Name == "" {
		return nil // nobody knows it, and so it has none
	}
	return t.Store.Release(t.Ref.Namespace, t.Ref.Name, t.Ref.UID)
}

func (t Teardown) removeRoots() error { return tree.Remove(RootsDir(t.Store, t.Ref.UID)) }

func (t Teardown) removeVolumes() error {
	return volumes.Remove(filepath.Join(t.Store.PodDir(t.Ref.UID), "volumes"))
}

// Force is All for a pod whose lock is left out of account. Its monitor may have left
// the pod's cgroups, to take the sandbox down, and be slow at it.
func (t Teardown) Force() error {
	if err := t.end(); err != nil { // pause first, which would start another
		return err
	}
	if err := killMonitors(t.Store, t.Ref.UID, killTimeout); err != nil {
		return err
	}
	return t.All()
}

// removeRecord removes the record before the status: one that is alone is of a pod
// that is half removed, the other way round of one that has lost its sandbox.
func (t Teardown) removeRecord() error {
	if err := t.Store.RemoveRecord(t.Ref.UID); err != nil {
		return err
	}
	return removeAll(t.Store.PodDir(t.Ref.UID))
}

// end kills pause and monitor, and then the containers: a monitor would restart
// what is killed.
func (t Teardown) end() error {
	return sandbox.KillPod(t.Store.Instance, t.Ref.UID, killTimeout)
}

// sandboxParts do not depend on each other. The kernel takes some 20 ms to
// remove a link, the longest of them.
func (t Teardown) sandboxParts() []part {
	instance, uid := t.Store.Instance, t.Ref.UID
	return []part{
		{"remove the sandbox's files", func() error { return removeAll(filesDir(t.Store, uid)) }},
		{"disconnect the network", func() error { return t.Host.Detach(uid) }},
		{"remove the cgroups", func() error { return sandbox.RemovePod(instance, uid) }},
	}
}

// together does all parts at once, whatever becomes of one.
func together(parts []part) error {
	errs := make([]error, len(parts))
	var all sync.WaitGroup
	for i, s := range parts {
		all.Go(func() {
			defer step.Change(s.name)()
			if err := s.do(); err != nil {
				errs[i] = fmt.Errorf("%s: %w", s.name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// removeAll removes a tree that no container writes to. Another teardown may be
// at work on it.
func removeAll(dir string) error {
	defer step.Change("remove")()
	err := os.RemoveAll(dir)
	if errors.Is(err, unix.ENOTDIR) {
		return nil // a part of its path is a file: it was never made
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTEMPTY) {
		err = os.RemoveAll(dir)
	}
	return err
}

// RemoveRun removes the run directory of a pod whose lock the caller holds, or that
// nobody can know any more. The lock's file goes last: if another is there then, the
// directory is that of whoever made it.
func RemoveRun(s *state.Store, uid string) error {
	dir, lock := s.RunDir(uid), lockPath(s, uid)
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); path != lock {
			err = errors.Join(err, removeAll(path))
		}
	}
	if err != nil {
		return missingIsRemoved(err)
	}
	defer step.Change("remove run directory")()
	if err := missingIsRemoved(os.Remove(lock)); err != nil {
		return err
	}
	for range removeTries {
		if err = os.Remove(dir); !errors.Is(err, unix.ENOTEMPTY) {
			break
		}
		if exists(lock) {
			return nil
		} // else it has gone since, with another's directory
	}
	return missingIsRemoved(err)
}

// removeTries bounds how often the directory is tried that others make and sweep.
const removeTries = 100

// missingIsRemoved is the error of a removal of what may have been gone before.
func missingIsRemoved(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
