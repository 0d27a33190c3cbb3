package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/urfave/cli/v2"

	"podrun/monitor"
	"podrun/state"
)

func suspendCommand(a *app) *cli.Command {
	var namespace string
	var all bool
	var grace int64
	return &cli.Command{
		Name:      "suspend",
		Usage:     "end pods so that 'podrun resume' starts them again, as for a shutdown",
		ArgsUsage: "POD...",
		Description: "Their containers end in order, with preStop hooks and grace period. Record, logs and volumes stay. A pod with\n" +
			"restartPolicy Never fails for good (Terminated), as under a kubelet whose machine is shut down.",
		Flags: []cli.Flag{
			namespaceFlag(&namespace),
			&cli.BoolFlag{Name: "all", Destination: &all, Usage: "all pods of all namespaces"},
			&cli.Int64Flag{Name: "grace-period", Value: -1, Destination: &grace, Usage: "`SECONDS` for preStop hooks and the stop signal before SIGKILL, 0 at once; the pod's own where left out"},
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() == all {
				return usagef("suspend needs pods, or --all")
			}
			if grace < -1 {
				return usagef("--grace-period %d: want a number of seconds from 0", grace)
			}
			request := monitor.Request{Suspend: true}
			if grace >= 0 {
				request.GracePeriod = &grace
			}
			store, err := a.store()
			if err != nil {
				return err
			}
			refs, err := namedPods(store, namespace, c.Args().Slice())
			return errors.Join(a.suspend(c.Context, store, refs, request), err)
		},
	}
}

// suspend ends all the pods at once.
func (a *app) suspend(ctx context.Context, s *state.Store, refs []state.Ref, r monitor.Request) error {
	var mu sync.Mutex
	var all sync.WaitGroup
	errs := make([]error, len(refs))
	for i, ref := range refs {
		all.Go(func() {
			word, err := a.suspendOne(ctx, s, ref, r)
			if err != nil {
				errs[i] = fmt.Errorf("suspend pod %s: %w", displayRef(ref), err)
			}
			if word != "" {
				mu.Lock()
				defer mu.Unlock()
				a.printf("pod/%s %s\n", displayRef(ref), word)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// suspendOne ends a pod and says what has become of it; nothing of one that did
// not run.
func (a *app) suspendOne(ctx context.Context, s *state.Store, ref state.Ref, r monitor.Request) (string, error) {
	asked := false
	for {
		f, err := monitor.Find(s, ref)
		switch {
		case err != nil:
			return "", err
		case f.Kept:
		case !asked:
			return "", nil
		case f.Lost():
			return "suspended", nil
		case f.Record == nil:
			return "removed", nil
		default:
			return fmt.Sprintf("ended (%s)", f.Pod().Status.Phase), nil
		}
		asked = true
		if err := a.askToEnd(ctx, s, ref, r); err != nil {
			return "", err
		}
	}
}
