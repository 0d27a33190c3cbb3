package monitor

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"podrun/runtime"
	"podrun/sandbox"
	"podrun/step"
	"podrun/tree"
)

// Remove undoes Create, whoever called it and however far it came; see [pod.Runtime].
func (m containers) Remove(container string, number int) error {
	id := ID(container, number)
	a := m.find(container, number)
	if a == nil {
		a = m.newAttempt(container, number)
		return errors.Join(m.removeUnknown(a), m.removeRoot(id))
	}
	if a.container == nil {
		return m.dismiss(a, nil)
	}
	err := a.container.Destroy()
	if a.watch != nil {
		<-a.exited // it has read how the container ended
		a.watch.Reap()
		a.watch.Close()
	}
	return m.dismiss(a, errors.Join(err, m.forget(a)))
}

// dismiss removes what is left of an attempt without processes.
func (m containers) dismiss(a *attempt, err error) error {
	err = errors.Join(err, a.output.drop(), m.removeRoot(a.id))
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.attempts, a.id)
	return err
}

// forget takes a's exit off pause's ledger.
func (m containers) forget(a *attempt) error {
	exits, err := m.pause.Exits()
	if err != nil || len(exits) == 0 {
		return err
	}
	start, _ := a.container.StartTime() // 0, no process's, where the state is gone
	for _, e := range exits {
		if e.Pid == a.container.PID() && (start == 0 || e.StartTime == start) {
			err = errors.Join(err, m.pause.Forget(e))
		}
	}
	return err
}

// removeUnknown removes an attempt that another monitor began.
func (m containers) removeUnknown(a *attempt) error {
	path := sandbox.ContainerPath(m.store.Instance, m.uid(), a.id)
	killed := sandbox.KillCgroup(path, killTimeout)
	c, err := runtime.Load(m.stateDir(), a.id)
	if err == nil {
		err = c.Destroy()
	} else if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	err = errors.Join(killed, err, sandbox.RemoveCgroup(path), runtime.Discard(m.stateDir(), a.id))
	for _, s := range streams {
		for _, end := range []string{"source", "stage-read", "stage-write"} {
			err = errors.Join(err, m.pause.Drop(keptName(a.id, s, end)))
		}
	}
	for _, name := range append(consoleNames(a.id), releaseName(a.id)) {
		err = errors.Join(err, m.pause.Drop(name))
	}
	return err
}

// removeRoot undoes prepare.
func (m containers) removeRoot(id string) error {
	defer step.Change("remove root")()
	var err error
	if m.volumes != nil {
		err = m.volumes.Release(id)
	}
	dir := m.rootDir(id)
	rootfs := m.rootfs(id)
	done := step.Change("unmount root")
	if err := unix.Unmount(rootfs, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil &&
		!errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "unmount", Path: rootfs, Err: err}
	}
	done()
	if m.users != nil {
		if rerr := os.Remove(rootfs); !errors.Is(rerr, os.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return errors.Join(err, tree.Remove(dir))
}
