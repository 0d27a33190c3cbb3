package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/urfave/cli/v2"
	v1 "k8s.io/api/core/v1"

	"podrun/monitor"
	"podrun/state"
)

func resumeCommand(a *app) *cli.Command {
	var namespace string
	var all bool
	return &cli.Command{
		Name:      "resume",
		Usage:     "start the pods again that ran when the machine went down",
		ArgsUsage: "[POD...]",
		Description: "Without names it takes all pods of all namespaces. One that nobody keeps since the machine went down, its keepers were killed,\n" +
			"or 'podrun suspend' ended it goes on by its restart policy, under the same uid and with its volumes. One that was being taken\n" +
			"down then is removed for good. One that runs or has finished is left alone. resume does not wait until pods are ready.",
		Flags: []cli.Flag{
			namespaceFlag(&namespace),
			&cli.BoolFlag{Name: "all", Destination: &all, Usage: "all pods of all namespaces, as without names"},
		},
		Action: func(c *cli.Context) error {
			switch named := c.Args().Present(); {
			case named && all:
				return usagef("--all means every pod: leave out the names, or --all")
			case !named && namespaceGiven(c):
				return usagef("without names resume means the pods of all namespaces: leave out -n, or name the pods")
			}
			store, err := a.store()
			if err != nil {
				return err
			}
			refs, err := namedPods(store, namespace, c.Args().Slice())
			r := resume{app: a, store: store, named: c.Args().Present()}
			return errors.Join(r.run(c.Context, refs), err)
		},
	}
}

// namedPods are the pods of the given names, or all of all namespaces. The error
// is of those that are not there.
func namedPods(s *state.Store, namespace string, names []string) ([]state.Ref, error) {
	if len(names) == 0 {
		return s.Names("")
	}
	refs, missing, err := lookUp(s, podsNamed(namespace, names))
	return refs, errors.Join(err, noPods(missing))
}

// resume is one run of the command.
type resume struct {
	*app
	store *state.Store
	named bool // by the user: then of each there is something to say
}

// resumesPerProcessor bounds how many pods come up at once: after a boot there is
// other work.
const resumesPerProcessor = 4

func (r *resume) run(ctx context.Context, refs []state.Ref) error {
	return eachPod(refs, resumesPerProcessor*runtime.NumCPU(), func(ref state.Ref) error {
		if err := r.one(ctx, ref); err != nil {
			return fmt.Errorf("resume pod %s: %w", displayRef(ref), err)
		}
		return nil
	})
}

func (r *resume) one(ctx context.Context, ref state.Ref) error {
	f, err := monitor.Find(r.store, ref)
	if err != nil {
		return fmt.Errorf("%w; 'podrun down --force' removes it without its record", err)
	}
	switch {
	case f.Doomed():
		if err := r.remove(ctx, f, nil); err != nil {
			return err
		}
		r.printf("pod/%s removed: %s\n", displayRef(ref), whyDoomed(f))
	case f.Lost() && f.Status.EverStarted:
		return r.relaunch(ctx, f)
	case f.Lost():
		// Nothing of it has run: what comes of it is told as by up.
		u := &up{app: r.app, options: &upOptions{timeout: time.Minute}, store: r.store}
		return (&launch{up: u, record: f.Record, again: true}).run(ctx)
	case r.named && f.Kept:
		r.printf("pod/%s unchanged (%s)\n", displayRef(ref), f.Pod().Status.Phase)
	case r.named:
		return fmt.Errorf("it has ended (%s): 'podrun up --replace' runs it again", f.Pod().Status.Phase)
	}
	return nil
}

// whyDoomed says why a pod cannot go on. What it has begun to be is stored after
// its record, and goes with it: who has the one without the other has lost the other.
func whyDoomed(f *monitor.Found) string {
	if f.Record == nil && f.Status.EverStarted && !f.Status.Removing() {
		return "its record is gone"
	}
	return "it was being made or taken down"
}

// relaunch returns when the pod's new monitor has taken it over.
func (r *resume) relaunch(ctx context.Context, f *monitor.Found) error {
	pause, err := monitor.Relaunch(r.store, f.Record)
	if errors.Is(err, state.ErrLocked) || errors.Is(err, monitor.ErrRemoved) {
		return nil // another podrun was faster
	}
	if err != nil {
		return err
	}
	once := f.Record.Pod.Spec.RestartPolicy == v1.RestartPolicyNever // it ends now
	err = monitor.Ask(ctx, r.store, f.UID, monitor.Request{}, func(u monitor.Update) bool { return !u.Ended && (once || u.Status == nil) })
	if err != nil && !errors.Is(err, monitor.ErrNoMonitor) {
		return err
	}
	now, ferr := monitor.Find(r.store, f.Ref)
	switch {
	case ferr != nil:
		return errors.Join(err, ferr)
	case now.Status.Ended:
		r.printf("pod/%s ended (%s)\n", displayRef(f.Ref), now.Pod().Status.Phase)
		return nil
	case err == nil:
		r.printf("pod/%s resumed\n", displayRef(f.Ref))
		return nil
	}
	select {
	case cause := <-pause.Failed():
		err = errors.Join(err, cause)
	case <-time.After(time.Second):
	}
	return err
}
