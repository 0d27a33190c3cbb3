package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/claims"
	"podrun/monitor"
	"podrun/state"
	"podrun/step"
	"podrun/tree"
)

// ErrBusy says that somebody is at work on what a finding is about.
var ErrBusy = errors.New("somebody is at work on it: repeat it later")

// Mend does what the finding's Repair says. What is no longer so is left alone, so
// that it can run beside whoever makes or removes pods, and be repeated.
func (a Auditor) Mend(f *Finding) error {
	if err := a.mend(f); err != nil {
		if errors.Is(err, state.ErrLocked) || errors.Is(err, claims.ErrInUse) {
			err = ErrBusy
		}
		return fmt.Errorf("repair %s %s: %w", f.Kind, f.Where, err)
	}
	return nil
}

func (a Auditor) mend(f *Finding) error {
	switch f.action {
	case removePod, sweepPod, claimName, dropStatus:
		return a.mendPod(f)
	case unclaim:
		return a.unlessPod(f.ref.UID, func() error { return a.Host.Unclaim(f.Where, f.target) })
	case removeLink:
		return a.Host.RemoveLink(f.target)
	case removeTable:
		return a.Host.Disconnect(state.NewUID()) // who has nothing is the last that goes
	case unmount:
		return a.unlessPod(f.ref.UID, func() error { return detach(f.target) })
	case removeFile:
		return a.removeFile(f.target)
	case removeEmpty:
		return removeEmptyDirectory(f.target)
	case removeTree:
		return tree.Remove(f.target)
	case removeClaim:
		return a.removeClaim(f.ref)
	case restrict:
		return restrictMode(f.target, f.mode)
	}
	return nil
}

// unlessPod does something where nobody keeps the pod.
func (a Auditor) unlessPod(uid string, do func() error) error {
	kept, err := monitor.Kept(a.Store, uid)
	if err != nil || kept {
		return errors.Join(err, state.ErrLocked)
	}
	return do()
}

// mendPod has the pod's lock: nobody makes it, starts it again or removes it
// meanwhile. What was found is looked for again.
func (a Auditor) mendPod(f *Finding) error {
	uid := f.ref.UID
	unlock, err := a.lock(uid)
	if err != nil {
		return err
	}
	defer unlock()
	p, err := a.stillSo(f)
	if err != nil || p == nil {
		return err
	}
	t, err := a.teardown(f.ref, p.Record)
	if err != nil {
		return err
	}
	switch f.action {
	case removePod:
		return t.All()
	case sweepPod:
		sweep := t.Sandbox
		if p.Status.Ended { // then nobody goes on with what its containers had
			sweep = t.Ended
		}
		if err := sweep(); err != nil {
			return err
		}
		return monitor.RemoveRun(a.Store, uid)
	case claimName:
		return a.Store.Claim(f.ref.Namespace, f.ref.Name, uid)
	default:
		return a.dropStatus(uid, t)
	}
}

// lock takes the lock of a pod that nobody keeps. A run directory that is made for
// it goes with it: it is not to be found next time.
func (a Auditor) lock(uid string) (unlock func(), err error) {
	_, err = os.Lstat(a.Store.RunDir(uid))
	made := errors.Is(err, os.ErrNotExist)
	lock, err := monitor.Lock(a.Store, uid)
	if err != nil {
		return nil, err
	}
	return func() {
		if made {
			monitor.RemoveRun(a.Store, uid)
		}
		lock.Close()
	}, nil
}

// dropStatus first ends the containers of which only that knew: the next monitor
// makes them anew, under the same names.
func (a Auditor) dropStatus(uid string, t monitor.Teardown) error {
	if err := errors.Join(t.Sandbox(), a.removeFile(monitor.StateDir(a.Store, uid))); err != nil {
		return err
	}
	defer step.Change("remove damaged status")()
	return os.Remove(filepath.Join(a.Store.PodDir(uid), "status.json"))
}

// stillSo looks again at one pod, whose lock this process has. It returns nil where
// there is nothing of it to mend any more.
func (a Auditor) stillSo(f *Finding) (*Pod, error) {
	second, err := a.look()
	if err != nil {
		return nil, err
	}
	uid := f.ref.UID
	p := second.Pods[uid]
	if p == nil {
		p = &Pod{}
	}
	p.Kept = false // by nobody else
	for _, now := range append(second.ofPod(uid, p), second.ofNetwork()...) {
		if now.ref.UID == uid && now.action == f.action {
			return p, nil
		}
	}
	return nil, nil
}

// teardown is that of a pod whose record may be gone: then the settings of the
// command line have to do.
func (a Auditor) teardown(ref state.Ref, r *state.Record) (monitor.Teardown, error) {
	t, err := monitor.NewTeardown(a.Store, ref, r)
	if r == nil {
		t.Host = a.Host
	}
	return t, err
}

// detach unmounts without what else the machine shows there.
func detach(point string) error {
	defer step.Change("unmount")()
	if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "unmount", Path: point, Err: err}
	}
	return nil
}

// removeFile removes a file, or a directory that no container writes to.
func (a Auditor) removeFile(path string) error {
	defer step.Change("remove leftover")()
	return os.RemoveAll(path)
}

func removeEmptyDirectory(path string) error {
	defer step.Change("remove empty directory")()
	err := os.Remove(path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTEMPTY) {
		return nil
	}
	return err
}

// restrictMode takes from others what they may do, by descriptor.
func restrictMode(path string, most fs.FileMode) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	defer step.Change("restrict mode")()
	return file.Chmod(info.Mode() & (most | fs.ModeSticky))
}

// removeClaim removes the volume of an ephemeral claim whose pod is gone, and
// the object that is kept of it.
func (a Auditor) removeClaim(ref state.Ref) error {
	turn, err := a.Store.LockObjects()
	if err != nil {
		return err
	}
	defer turn.Close()
	dir := filepath.Join(a.Store.ClaimDir(ref.Namespace), ref.Name)
	owner, err := claims.Owner(dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && owner != ref.UID {
		return nil
	}
	if err != nil {
		return err
	}
	if err := claims.Remove(dir); err != nil {
		return err
	}
	var kept v1.PersistentVolumeClaim
	err = a.Store.ReadObject(ref.Namespace, ref.Name, &kept)
	if err == nil && len(kept.OwnerReferences) > 0 && string(kept.OwnerReferences[0].UID) == ref.UID {
		err = a.Store.RemoveObject(ref.Namespace, ref.Name, &kept)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Ended are the pods that have come to their end, and that nobody is at work on.
func (a Auditor) Ended() ([]state.Ref, error) {
	refs, err := a.Store.Names("")
	if err != nil {
		return nil, err
	}
	var list []state.Ref
	for _, ref := range refs {
		f, err := monitor.Find(a.Store, ref)
		if err == nil && f.Record != nil && f.Status.Ended && !f.Kept && !f.Doomed() {
			list = append(list, ref)
		}
	}
	return list, nil
}

// RemoveEnded removes a pod that has ended, and tells whether it was there and had:
// somebody may have started it again.
func (a Auditor) RemoveEnded(ref state.Ref) (bool, error) {
	unlock, err := a.lock(ref.UID)
	if errors.Is(err, state.ErrLocked) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unlock()
	f, err := monitor.Find(a.Store, ref)
	if err != nil {
		return false, err
	}
	if f.Record == nil || !f.Status.Ended {
		return false, nil
	}
	t, err := a.teardown(ref, f.Record)
	if err != nil {
		return false, err
	}
	if err := t.All(); err != nil {
		return false, fmt.Errorf("remove pod %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	return true, nil
}
