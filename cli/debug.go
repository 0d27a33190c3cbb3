package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/validation"

	"podrun/logs"
	"podrun/monitor"
	"podrun/state"
)

// debugOptions are the flags of debug.
type debugOptions struct {
	namespace, image, target, name, pull string
	env                                  cli.StringSlice
	insecure                             cli.StringSlice
	stdin, tty                           bool
}

func debugCommand(a *app) *cli.Command {
	var o debugOptions
	return &cli.Command{
		Name:      "debug",
		Usage:     "add an ephemeral container to a running pod",
		ArgsUsage: "POD --image IMAGE [-- COMMAND [ARG...]]",
		Description: "The container shares the pod's network and, with --target, sees the processes of one of its containers. It is\n" +
			"never restarted and goes with the pod. With -i it is attached to, as 'podrun attach' does it.",
		Flags: []cli.Flag{
			namespaceFlag(&o.namespace),
			&cli.StringFlag{Name: "image", Destination: &o.image, Usage: "`IMAGE` of the container"},
			&cli.StringFlag{Name: "target", Destination: &o.target, Usage: "`NAME` of the container whose processes it sees"},
			&cli.StringFlag{Name: "container", Aliases: []string{"c"}, Destination: &o.name, Usage: "`NAME` of the new container; one is made up where left out"},
			&cli.StringFlag{Name: "pull", Destination: &o.pull, Value: string(v1.PullIfNotPresent), Usage: "`POLICY`: Always, IfNotPresent or Never"},
			&cli.StringSliceFlag{Name: "env", Destination: &o.env, Usage: "`NAME=VALUE` for its environment"},
			insecureFlag(&o.insecure),
			&cli.BoolFlag{Name: "stdin", Aliases: []string{"i"}, Destination: &o.stdin, Usage: "pass standard input, and stay until it ends"},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Destination: &o.tty, Usage: "give it a terminal"},
		},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() || o.image == "" {
				return usagef("debug needs a pod and an image: podrun debug POD --image busybox")
			}
			store, f, err := a.pod(o.namespace, c.Args().First())
			if err != nil {
				return err
			}
			if f.Record == nil {
				return fmt.Errorf("pod %s is being made or removed: it takes no container", displayRef(f.Ref))
			}
			e, err := o.container(f.Record.Pod, c.Args().Tail())
			if err != nil {
				return err
			}
			d := debugging{app: a, options: &o, store: store, found: f, container: e}
			return d.run(c.Context)
		},
	}
}

// container is the one that the flags describe, with the defaults of the API,
// and with the right to trace processes that kubectl's general profile gives.
func (o *debugOptions) container(p *v1.Pod, command []string) (*v1.EphemeralContainer, error) {
	taken := containerNames(p)
	if o.name == "" {
		o.name = "debugger-" + rand.String(5)
	}
	if wrong := validation.IsDNS1123Label(o.name); len(wrong) > 0 {
		return nil, usagef("--container %q: %s", o.name, strings.Join(wrong, "; "))
	}
	if slices.Contains(taken, o.name) {
		return nil, usagef("--container %q: the pod has a container of that name; it has: %s", o.name, strings.Join(taken, ", "))
	}
	if o.target != "" && !slices.Contains(taken, o.target) {
		return nil, usagef("--target %q: the pod has no container of that name; it has: %s", o.target, strings.Join(taken, ", "))
	}
	if !slices.Contains(pullPolicies, o.pull) {
		return nil, usagef("--pull %q: want Always, IfNotPresent or Never", o.pull)
	}
	c := &v1.EphemeralContainer{TargetContainerName: o.target}
	c.Name, c.Image, c.Command = o.name, o.image, command
	c.ImagePullPolicy = v1.PullPolicy(o.pull)
	c.Stdin, c.TTY = o.stdin, o.tty
	c.TerminationMessagePath, c.TerminationMessagePolicy = v1.TerminationMessagePathDefault, v1.TerminationMessageReadFile
	c.SecurityContext = &v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"SYS_PTRACE"}}}
	for _, entry := range o.env.Value() {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || name == "" {
			return nil, usagef("--env %q: want NAME=VALUE", entry)
		}
		c.Env = append(c.Env, v1.EnvVar{Name: name, Value: value})
	}
	return c, nil
}

// debugging is one run of the command.
type debugging struct {
	*app
	options   *debugOptions
	store     *state.Store
	found     *monitor.Found
	container *v1.EphemeralContainer
}

func (d *debugging) run(ctx context.Context) error {
	if p := d.found.Pod(); hasEnded(p) {
		return notRunning(p)
	}
	wanted := wantedImage{reference: d.container.Image, policy: d.container.ImagePullPolicy}
	wanted.credentials, _ = monitor.Credentials(d.store, d.found.Record.Pod, nil)
	if _, err := d.ensureImages(ctx, d.store, []wantedImage{wanted}, d.options.insecure.Value()); err != nil {
		return err
	}
	err := monitor.AddEphemeral(ctx, d.store, d.found.UID, d.container)
	if errors.Is(err, monitor.ErrNoMonitor) {
		return notRunning(d.found.Pod())
	}
	if err != nil {
		return err
	}
	st, err := d.begun(ctx)
	if err != nil {
		return err
	}
	if !d.container.Stdin {
		d.printf("container %s started\n", d.container.Name)
		return nil
	}
	if st.State.Running != nil {
		s := attaching{app: d.app, store: d.store, found: d.found, container: d.container.Name, stdin: true, tty: d.container.TTY}
		err := s.run(ctx)
		var ended *monitor.NotAttachable
		if !errors.As(err, &ended) {
			return err
		}
		if st, err = d.wait(ctx, func(st *v1.ContainerStatus) bool { return st.State.Terminated != nil }); err != nil {
			return err
		}
	}
	return d.printEnd(ctx, st.State.Terminated.ExitCode)
}

// printEnd shows what a container has said that ended before anybody could attach.
func (d *debugging) printEnd(ctx context.Context, code int32) error {
	o := logs.ReadOptions{Attempt: 0, Tail: logs.All}
	err := logs.Read(ctx, filepath.Join(d.found.Record.LogPath(), d.container.Name), o, logTo(d.Out))
	if err == nil && code != 0 {
		err = &exitError{code: int(code)}
	}
	return err
}

// begun waits until the container runs, has ended, or cannot be made.
func (d *debugging) begun(ctx context.Context) (v1.ContainerStatus, error) {
	st, err := d.wait(ctx, func(st *v1.ContainerStatus) bool {
		return heldBack(st) || st.State.Running != nil || st.State.Terminated != nil
	})
	if err != nil {
		return st, err
	}
	if w := st.State.Waiting; w != nil {
		return st, fmt.Errorf("container %s: %s: %s", st.Name, w.Reason, w.Message)
	}
	if end := st.State.Terminated; end != nil && end.Reason == "StartError" {
		return st, fmt.Errorf("container %s: %s", st.Name, end.Message)
	}
	return st, nil
}

// wait returns the container's status once it is as wanted.
func (d *debugging) wait(ctx context.Context, wanted func(*v1.ContainerStatus) bool) (st v1.ContainerStatus, err error) {
	found := false
	err = monitor.Ask(ctx, d.store, d.found.UID, monitor.Request{}, func(u monitor.Update) bool {
		if u.Status != nil {
			if now := containerStatus(u.Status, d.container.Name); now != nil && wanted(now) {
				st, found = *now, true
			}
		}
		return !found && !u.Ended
	})
	if err == nil && !found {
		err = fmt.Errorf("pod %s has ended", displayName(d.found.Record.Pod))
	}
	return st, err
}
