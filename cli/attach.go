package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"

	"podrun/logs"
	"podrun/monitor"
	"podrun/pod"
	"podrun/state"
)

// attach follows the logs of all pods until they end or the user interrupts,
// and takes down those that this up has made.
func (u *up) attach(ctx context.Context, fresh []*launch) error {
	out := logs.Shared(logTo(u.Out))
	var all sync.WaitGroup
	failed := make([]error, len(u.records))
	for i, r := range u.records {
		all.Go(func() { failed[i] = u.attachOne(ctx, r, out) })
	}
	all.Wait()
	errs := []error{errors.Join(failed...)}
	for _, r := range u.records {
		if !slices.ContainsFunc(fresh, func(l *launch) bool { return l.made() && l.record == r }) {
			u.notef("pod/%s was there before, and stays: 'podrun down' takes it down\n", displayName(r.Pod))
			continue
		}
		f, err := monitor.FindByName(u.store, r.Pod.Namespace, r.Pod.Name)
		if err == nil && f.Lost() && pod.Suspended(&f.Status.Status) {
			u.notef("pod/%s is suspended, and stays: 'podrun resume %[1]s' starts it again\n", displayName(r.Pod))
			continue
		}
		if err == nil {
			err = u.remove(context.Background(), f, nil)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (u *up) attachOne(ctx context.Context, r *state.Record, out io.Writer) error {
	f, err := monitor.FindByName(u.store, r.Pod.Namespace, r.Pod.Name)
	if err != nil {
		return err
	}
	r = f.Record // a pod that ran already has another uid than the one just read
	ended := make(chan struct{})
	go u.untilEnded(ctx, f, ended)
	var containers sync.WaitGroup
	followed := slices.DeleteFunc(slices.Clone(r.Pod.Spec.InitContainers), func(c v1.Container) bool { return !pod.IsSidecar(&c) })
	followed = append(followed, r.Pod.Spec.Containers...)
	prefixed := len(u.records) > 1 || len(followed) > 1
	for _, c := range followed {
		containers.Go(func() {
			o := logs.ReadOptions{Attempt: logs.Newest, Tail: logs.All, Follow: true, Ended: func() bool { return closed(ended) }}
			if prefixed {
				o.Prefix = fmt.Sprintf("[%s/%s] ", r.Pod.Name, c.Name)
			}
			logs.Read(ctx, filepath.Join(r.LogPath(), c.Name), o, out)
		})
	}
	containers.Wait()
	if ctx.Err() != nil {
		return nil
	}
	f, err = monitor.Find(u.store, f.Ref)
	switch {
	case err != nil: // it has been taken down
	case f.Status.Status.Phase == v1.PodFailed:
		return &exitError{code: exitFailure, err: fmt.Errorf("pod %s has failed", displayName(r.Pod))}
	case f.Lost() && !pod.Suspended(&f.Status.Status):
		return fmt.Errorf("nobody keeps pod %s any more", displayName(r.Pod))
	}
	return nil
}

// untilEnded closes ended when no container of the pod will run again.
func (u *up) untilEnded(ctx context.Context, f *monitor.Found, ended chan struct{}) {
	defer close(ended)
	monitor.Ask(ctx, u.store, f.UID, monitor.Request{}, func(up monitor.Update) bool { return !up.Ended })
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
