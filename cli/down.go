package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	v1 "k8s.io/api/core/v1"

	"podrun/claims"
	"podrun/manifest"
	"podrun/monitor"
	"podrun/state"
)

type downOptions struct {
	ending
	force   bool
	volumes bool
	files   cli.StringSlice
}

func downCommand(a *app) *cli.Command {
	var o downOptions
	return &cli.Command{
		Name:      "down",
		Usage:     "end pods and remove all that was made for them; of manifests also what is kept",
		ArgsUsage: "FILE...|POD...",
		Flags: append(o.flags(),
			filesFlag(&o.files),
			&cli.BoolFlag{Name: "force", Destination: &o.force, Usage: "kill at once, and end a pod whose monitor does not answer"},
			&cli.BoolFlag{Name: "volumes", Destination: &o.volumes, Usage: "also remove the named volumes that the pods use, and their data"},
		),
		Action: func(c *cli.Context) error {
			targets := named(c, &o.files)
			if err := o.check(c, len(targets) > 0, "pods or manifests"); err != nil {
				return err
			}
			store, err := a.store()
			if err != nil {
				return err
			}
			d := &down{app: a, options: &o, store: store}
			refs, err := d.targets(c.Context, targets, c.IsSet("namespace"))
			if err != nil {
				return err
			}
			return d.run(c.Context, refs)
		},
	}
}

type down struct {
	*app
	options *downOptions
	store   *state.Store
	objects []state.Object // of the given manifests
	found   sync.Mutex     // guards claims
	claims  []claimRef     // of the given manifests and pods
	missing error          // of pods that were named and are not there
}

type claimRef struct{ namespace, name string }

// targets are the pods that the arguments name. One of a manifest that does not
// exist is none: down of a manifest may be repeated.
func (d *down) targets(ctx context.Context, args []string, namespaceSet bool) ([]state.Ref, error) {
	if d.options.all {
		return d.store.Names("")
	}
	var files, names []string
	for _, arg := range args {
		_, absent := os.Stat(arg) // nil: it is there
		asPrinted := strings.HasPrefix(arg, "pod/") || strings.HasPrefix(arg, "pods/")
		if looksLikeFile(arg) && (!asPrinted || absent == nil) {
			files = append(files, arg)
		} else {
			names = append(names, arg)
		}
	}
	var refs []state.Ref
	if len(files) > 0 {
		objects, err := d.readManifests(ctx, files, manifest.Options{Namespace: d.options.namespace, NamespaceSet: namespaceSet})
		if err != nil {
			return nil, err
		}
		d.objects = objectsOf(objects)
		for _, c := range objects.Claims {
			d.claims = append(d.claims, claimRef{c.Namespace, c.Name})
		}
		var wanted, missing []state.Ref
		for _, p := range objects.Pods {
			wanted = append(wanted, state.Ref{Namespace: p.Namespace, Name: p.Name})
		}
		if refs, missing, err = lookUp(d.store, wanted); err != nil {
			return nil, err
		}
		for _, ref := range missing {
			d.notef("pod/%s is not there; 'podrun ps -A' lists all\n", displayRef(ref))
		}
	}
	named, missing, err := lookUp(d.store, podsNamed(d.options.namespace, names))
	d.missing = noPods(missing)
	return append(refs, slices.DeleteFunc(named, func(r state.Ref) bool { return slices.Contains(refs, r) })...), err
}

// run takes all pods down at once.
func (d *down) run(ctx context.Context, refs []state.Ref) error {
	err := eachPod(refs, unlimited, func(ref state.Ref) error {
		if err := d.one(ctx, ref); err != nil {
			return fmt.Errorf("take pod %s/%s down: %w", ref.Namespace, ref.Name, err)
		}
		d.printf("pod/%s removed\n", displayRef(ref))
		return nil
	})
	if err := errors.Join(err, monitor.Sweep(d.store)); err != nil {
		return errors.Join(err, d.missing)
	}
	return errors.Join(d.removeObjects(ctx), d.removeClaims(), d.missing)
}

func (d *down) one(ctx context.Context, ref state.Ref) error {
	f, err := monitor.Find(d.store, ref)
	if err != nil {
		if !d.options.force {
			return fmt.Errorf("%w; --force removes it without its record", err)
		}
		return d.tearDown(ref, nil, monitor.Teardown.Force)
	}
	if f.Record != nil {
		d.found.Lock()
		d.claims = append(d.claims, claimsOf(f.Record)...)
		d.found.Unlock()
	}
	if d.options.force {
		return d.removeNow(ctx, f)
	}
	return d.remove(ctx, f, d.options.gracePeriod())
}

// removeClaims removes the data of claims that no pod uses any more, and with it
// what is kept of them.
func (d *down) removeClaims() error {
	if !d.options.volumes {
		return nil
	}
	used, err := usedClaims(d.store)
	if err != nil {
		return err
	}
	slices.SortFunc(d.claims, func(a, b claimRef) int { return strings.Compare(a.namespace+"/"+a.name, b.namespace+"/"+b.name) })
	var errs []error
	for _, c := range slices.Compact(d.claims) {
		if pod, ok := used[c]; ok {
			d.notef("volume %s/%s stays: pod %s uses it\n", c.namespace, c.name, pod)
			continue
		}
		path := claimPath(d.store, c.namespace, c.name)
		_, gone := os.Lstat(path)
		if err := claims.Remove(path); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := d.forget(c.namespace, c.name, &v1.PersistentVolumeClaim{}); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		if gone == nil {
			d.printf("volume/%s removed\n", c.name)
		}
	}
	return errors.Join(errs...)
}

// claimsOf are the claims whose data the pod mounts.
func claimsOf(r *state.Record) []claimRef {
	var refs []claimRef
	for _, v := range r.Pod.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			refs = append(refs, claimRef{r.Pod.Namespace, v.PersistentVolumeClaim.ClaimName})
		}
	}
	return refs
}

func claimPath(s *state.Store, namespace, name string) string {
	return filepath.Join(s.ClaimDir(namespace), name)
}

// remove ends a pod through its monitor, with the grace period in seconds or,
// if it is nil, the pod's own; and by itself what has no monitor. Others may
// bring the pod up or take it down at the same time.
func (a *app) remove(ctx context.Context, f *monitor.Found, grace *int64) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	for {
		t, err := a.teardown(s, f.Ref, f.Record)
		if err != nil {
			return err
		}
		if err := t.Alone(); !errors.Is(err, state.ErrLocked) {
			return err
		}
		if err := a.askToEnd(ctx, s, f.Ref, monitor.Request{Stop: true, GracePeriod: grace}); err != nil {
			return err
		}
	}
}

// lockGap is the wait for one who holds a pod's lock and does not answer, because
// it starts or removes the sandbox.
const lockGap = 10 * time.Millisecond

// askToEnd asks a pod to end, in the way of r, and returns when it may have.
func (a *app) askToEnd(ctx context.Context, s *state.Store, ref state.Ref, r monitor.Request) error {
	keepers, err := monitor.Keepers(s, ref.UID)
	if err != nil {
		return err
	}
	defer keepers.Close()
	defer a.tellStuck(s, ref)()
	err = monitor.Ask(ctx, s, ref.UID, r, func(u monitor.Update) bool { return !u.Ended && u.NotMade == "" })
	switch {
	case ctx.Err() != nil:
		return &exitError{exitInterrupted, errors.New("interrupted; the pod goes on ending")}
	case errors.Is(err, monitor.ErrNoMonitor):
		time.Sleep(lockGap)
		return nil
	case err != nil:
		return err
	}
	return keepers.Wait()
}

// forceGrace is how long a monitor has to end its pod by itself.
const forceGrace = 5 * time.Second

// removeNow kills, and does without a monitor that does not answer. The pod's
// lock is then left out of account.
func (a *app) removeNow(ctx context.Context, f *monitor.Found) error {
	at := int64(0)
	done := make(chan error, 1)
	go func() { done <- a.remove(ctx, f, &at) }()
	select {
	case err := <-done:
		return err
	case <-time.After(forceGrace):
		return a.tearDown(f.Ref, f.Record, monitor.Teardown.Force)
	}
}

// tearDown removes what is left of a pod, if anything is, in the given way.
func (a *app) tearDown(ref state.Ref, r *state.Record, remove func(monitor.Teardown) error) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	if holder, err := s.Lookup(ref.Namespace, ref.Name); errors.Is(err, os.ErrNotExist) || err == nil && holder != ref.UID {
		return nil // the name is given up last: nothing is left
	}
	t, err := a.teardown(s, ref, r)
	if err != nil {
		return err
	}
	return remove(t)
}

// teardown is that of a pod whose record may be unknown, or not there.
func (a *app) teardown(s *state.Store, ref state.Ref, r *state.Record) (monitor.Teardown, error) {
	if r == nil {
		// Whatever is wrong with the record: it is about to be removed.
		r, _ = s.ReadRecord(ref.UID)
	}
	t, err := monitor.NewTeardown(s, ref, r)
	if r == nil {
		t.Host.LinkPrefix = a.linkPrefix
	}
	return t, err
}
