package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	v1 "k8s.io/api/core/v1"

	"podrun/logs"
	"podrun/monitor"
	"podrun/pod"
	"podrun/state"
)

// logsOptions are the flags of logs, with kubectl's names and meaning.
type logsOptions struct {
	namespace, container  string
	follow, previous, all bool
	timestamps, prefix    bool
	tail                  int
	since                 time.Duration
}

func logsCommand(a *app) *cli.Command {
	var o logsOptions
	return &cli.Command{
		Name:      "logs",
		Usage:     "print what a container has printed",
		ArgsUsage: "POD",
		Flags: []cli.Flag{
			namespaceFlag(&o.namespace),
			containerFlag(&o.container),
			&cli.BoolFlag{Name: "all-containers", Destination: &o.all, Usage: "of all containers, init containers first"},
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Destination: &o.follow, Usage: "go on with what is printed from now on, restarts included, until the container has ended for good"},
			&cli.BoolFlag{Name: "previous", Aliases: []string{"p"}, Destination: &o.previous, Usage: "of the container before its last restart"},
			&cli.IntFlag{Name: "tail", Value: logs.All, Destination: &o.tail, Usage: "only the last `LINES` of each container"},
			&cli.DurationFlag{Name: "since", Destination: &o.since, Usage: "only what is not older than `DURATION`, such as 5m"},
			&cli.BoolFlag{Name: "timestamps", Destination: &o.timestamps, Usage: "begin each line with its time"},
			&cli.BoolFlag{Name: "prefix", Destination: &o.prefix, Usage: "begin each line with the names of pod and container"},
		},
		Action: func(c *cli.Context) error {
			if err := o.check(c); err != nil {
				return err
			}
			store, f, err := a.pod(o.namespace, c.Args().First())
			if err != nil {
				return err
			}
			return a.printLogs(c.Context, store, f, &o)
		},
	}
}

func (o *logsOptions) check(c *cli.Context) error {
	switch {
	case c.NArg() != 1:
		return usagef("logs needs one pod: podrun logs POD [-c NAME]")
	case o.all && o.container != "":
		return usagef("--all-containers and --container %s exclude each other", o.container)
	case o.follow && o.previous:
		return usagef("--follow and --previous exclude each other: what was before the restart has ended")
	case o.tail < logs.All:
		return usagef("--tail %d: want a number of lines from 0, or -1 for all", o.tail)
	case o.since < 0 || c.IsSet("since") && o.since == 0:
		return usagef("--since %v: want a duration above 0, such as 5m", o.since)
	}
	return nil
}

// printLogs prints the logs of the containers that are meant: one after the
// other, or side by side where they are followed.
func (a *app) printLogs(ctx context.Context, s *state.Store, f *monitor.Found, o *logsOptions) error {
	p := f.Pod()
	if f.Record == nil {
		return fmt.Errorf("pod %s/%s is being made or removed; it has no logs", p.Namespace, p.Name)
	}
	names := containerNames(p)
	if !o.all {
		name, err := a.pickContainer(p, o.container)
		if err != nil {
			return err
		}
		names = []string{name}
	}
	out := logs.Shared(logTo(a.Out))
	followed := make([]error, len(names))
	var following sync.WaitGroup
	for i, name := range names {
		l := containerLog{store: s, found: f, name: name, options: o}
		if o.follow {
			following.Go(func() { followed[i] = l.print(ctx, out) })
		} else if err := l.print(ctx, out); err != nil {
			return err
		}
	}
	following.Wait()
	err := errors.Join(followed...)
	if err == nil && o.follow && ctx.Err() == nil {
		err = a.tellUnkept(ctx, s, f.Ref)
	}
	return err
}

// leavingGap is how often a pod is looked at whose monitor is about to leave.
const leavingGap = 20 * time.Millisecond

// suspending tells whether the pod ends for a while, and is not through.
func suspending(f *monitor.Found) bool {
	stop := f.Status.Stop
	return stop != nil && stop.Resume && f.Kept && !f.Status.Ended
}

// tellUnkept says why logs are not followed any further, where the pod has not ended.
func (a *app) tellUnkept(ctx context.Context, s *state.Store, ref state.Ref) error {
	f, err := monitor.Find(s, ref)
	for err == nil && suspending(f) && ctx.Err() == nil {
		time.Sleep(leavingGap)
		f, err = monitor.Find(s, ref)
	}
	if err != nil || !f.Lost() {
		return nil
	}
	if pod.Suspended(&f.Status.Status) {
		a.notef("pod %s is suspended: 'podrun resume %[1]s' starts it again\n", displayRef(ref))
		return nil
	}
	return fmt.Errorf("nobody keeps pod %s any more, and its log ends here: 'podrun resume %[1]s' or 'podrun up' starts it again", displayRef(ref))
}

// containerLog is the log of one container of a pod.
type containerLog struct {
	store   *state.Store
	found   *monitor.Found
	name    string
	options *logsOptions
}

func (l containerLog) print(ctx context.Context, out io.Writer) error {
	p := l.found.Record.Pod
	status := containerStatus(&l.found.Status.Status, l.name)
	attempt, known := attemptOf(status, l.options.previous)
	switch {
	case known:
	case l.options.all && l.options.follow:
		attempt = logs.Newest // whichever comes first
	case l.options.all:
		return nil
	case l.options.previous:
		return fmt.Errorf("container %s of pod %s/%s has not been restarted: there is no previous log", l.name, p.Namespace, p.Name)
	default:
		return fmt.Errorf("container %s of pod %s/%s is waiting to start: %s", l.name, p.Namespace, p.Name, describeState(status))
	}
	o := logs.ReadOptions{
		Attempt: attempt, Tail: l.options.tail, Timestamps: l.options.timestamps,
		Follow: l.options.follow, Ended: l.ended,
	}
	if l.options.since > 0 {
		o.Since = time.Now().Add(-l.options.since)
	}
	if l.options.prefix {
		o.Prefix = fmt.Sprintf("[pod/%s/%s] ", p.Name, l.name)
	}
	return logs.Read(ctx, filepath.Join(l.found.Record.LogPath(), l.name), o, out)
}

// attemptOf is the attempt whose log is meant: as a kubelet, the one that runs
// or has ended; while a container is held back from its next start that is the
// previous one too. known is false where there is none.
func attemptOf(c *v1.ContainerStatus, previous bool) (attempt int, known bool) {
	if c == nil {
		return 0, false
	}
	attempt = int(c.RestartCount)
	if c.State.Waiting != nil {
		return attempt, c.LastTerminationState.Terminated != nil
	}
	if previous {
		return attempt - 1, c.LastTerminationState.Terminated != nil
	}
	return attempt, c.State.Running != nil || c.State.Terminated != nil
}

// ended tells whether the container will not print anything any more.
func (l containerLog) ended() bool {
	f, err := monitor.Find(l.store, l.found.Ref)
	if errors.Is(err, os.ErrNotExist) {
		return true
	}
	if err != nil {
		return false // it may be readable the next time
	}
	if f.Record == nil || f.Status.Ended || !f.Kept {
		return true
	}
	c := containerStatus(&f.Status.Status, l.name)
	if c == nil || c.State.Terminated == nil {
		return false
	}
	return f.Status.Stop != nil || f.Status.Ending != nil || endedForGood(f.Record.Pod, c)
}
