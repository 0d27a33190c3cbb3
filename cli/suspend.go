package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"podrun/monitor"
	"podrun/pod"
	"podrun/state"
)

func suspendCommand(a *app) *cli.Command {
	var o ending
	return &cli.Command{
		Name:      "suspend",
		Usage:     "end pods so that 'podrun resume' starts them again, as for a shutdown",
		ArgsUsage: "POD...",
		Description: "Their containers end in order, with preStop hooks and grace period. Record, logs and volumes stay. A pod with\n" +
			"restartPolicy Never fails for good (Terminated), as under a kubelet whose machine is shut down.",
		Flags: o.flags(),
		Action: func(c *cli.Context) error {
			if err := o.check(c, c.Args().Present(), "pods"); err != nil {
				return err
			}
			store, err := a.store()
			if err != nil {
				return err
			}
			refs, err := namedPods(store, o.namespace, c.Args().Slice())
			return errors.Join(a.suspend(c.Context, store, refs, monitor.Request{Suspend: true, GracePeriod: o.gracePeriod()}, !o.all), err)
		},
	}
}

// suspend ends all the pods at once. Of those that the user has named there is
// something to say each.
func (a *app) suspend(ctx context.Context, s *state.Store, refs []state.Ref, r monitor.Request, named bool) error {
	return eachPod(refs, unlimited, func(ref state.Ref) error {
		word, err := a.suspendOne(ctx, s, ref, r, named)
		if err != nil {
			return fmt.Errorf("suspend pod %s: %w", displayRef(ref), err)
		}
		if word != "" {
			a.printf("pod/%s %s\n", displayRef(ref), word)
		}
		return nil
	})
}

// suspendOne ends a pod and says what has become of it; of one that did not run
// only where the user has named it.
func (a *app) suspendOne(ctx context.Context, s *state.Store, ref state.Ref, r monitor.Request, named bool) (string, error) {
	asked := false
	for {
		f, err := monitor.Find(s, ref)
		switch {
		case err != nil:
			return "", err
		case f.Kept:
		case !asked && named:
			return unsuspended(f), nil
		case !asked:
			return "", nil
		case f.Lost():
			return "suspended", nil
		case f.Record == nil:
			if _, err := s.Lookup(ref.Namespace, ref.Name); err == nil {
				return "", errors.New("there is no record of it; 'podrun down' removes what is left")
			}
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

// unsuspended says what a pod is that nobody had to end.
func unsuspended(f *monitor.Found) string {
	switch {
	case f.Lost() && pod.Suspended(&f.Status.Status):
		return "unchanged (Suspended)"
	case f.Lost():
		return "unchanged: nobody keeps it; 'podrun resume' starts it again"
	case f.Doomed():
		return "unchanged: " + whyDoomed(f)
	}
	return fmt.Sprintf("unchanged (%s)", f.Pod().Status.Phase)
}
