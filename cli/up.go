package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"podrun/manifest"
	"podrun/monitor"
	"podrun/pod"
	"podrun/state"
)

// upOptions are the flags of up.
type upOptions struct {
	namespace string
	pull      string
	insecure  cli.StringSlice
	timeout   time.Duration
	attach    bool
	replace   bool
	maxPIDs   int64
	files     cli.StringSlice
	sysctls   cli.StringSlice
	users     string
}

// Values of --userns.
const (
	usersAuto = "auto"
	usersHost = "host"
)

func upCommand(a *app) *cli.Command {
	var o upOptions
	return &cli.Command{
		Name:      "up",
		Usage:     "run the pods of manifests, and keep their ConfigMaps, Secrets and claims",
		ArgsUsage: "FILE...",
		Description: "FILE is a manifest, a directory of manifests, a URL, or - for standard input. up returns when every container\n" +
			"has started and is ready, or has finished. A pod whose restartPolicy lets it finish has a second to do so at once.\n" +
			"A pod that refers to something missing is made and waits for it. A changed manifest is applied in place where Kubernetes allows it.",
		Flags: []cli.Flag{
			namespaceFlag(&o.namespace),
			filesFlag(&o.files),
			&cli.StringFlag{Name: "pull", Destination: &o.pull, Usage: "`POLICY` for all images: Always, IfNotPresent or Never, whatever the manifests say"},
			insecureFlag(&o.insecure),
			&cli.DurationFlag{Name: "timeout", Value: time.Minute, EnvVars: []string{"PODRUN_TIMEOUT"}, Destination: &o.timeout, Usage: "how long to wait until the pods are ready; they stay"},
			&cli.BoolFlag{Name: "attach", Destination: &o.attach, Usage: "follow the logs; Ctrl-C takes down the pods that this up has made"},
			&cli.BoolFlag{Name: "replace", Destination: &o.replace, Usage: "take down pods of the same name first"},
			&cli.StringSliceFlag{Name: "allowed-unsafe-sysctls", Destination: &o.sysctls, Usage: "`SYSCTL` that a pod may set besides the safe ones, or a pattern that ends with *"},
			&cli.StringFlag{Name: "userns", Value: usersHost, EnvVars: []string{"PODRUN_USERNS"}, Destination: &o.users, Usage: "users of pods that do not say hostUsers: host, the machine's, or auto, a user namespace of their own where kernel and manifest allow it"},
			&cli.Int64Flag{Name: "pod-max-pids", Destination: &o.maxPIDs, DefaultText: "half of what the machine can have", Usage: "most processes and threads of a pod, `N`; -1 is no limit"},
		},
		Action: func(c *cli.Context) error {
			if err := o.check(); err != nil { // first: a value that is missing has taken the FILE
				return err
			}
			files := named(c, &o.files)
			if len(files) == 0 {
				return usagef("up needs a FILE: a manifest, a directory, a URL, or - for standard input")
			}
			objects, err := a.readManifests(c.Context, files, manifest.Options{Namespace: o.namespace, NamespaceSet: c.IsSet("namespace")})
			if err != nil {
				return err
			}
			a.tellNotes(objects)
			var badNames manifest.Problems
			for _, p := range objects.Pods {
				badNames = append(badNames, imageNames(objects, p)...)
			}
			if len(badNames) > 0 {
				return &exitError{exitUsage, complaint{badNames}}
			}
			if len(objects.Pods) == 0 && len(objectsOf(objects)) == 0 {
				return usagef("the manifest has no Pod to run, and nothing to keep for one")
			}
			u, err := newUp(a, &o, objects)
			if err != nil {
				return err
			}
			return u.run(c.Context)
		},
	}
}

var pullPolicies = []string{string(v1.PullAlways), string(v1.PullIfNotPresent), string(v1.PullNever)}

func (o *upOptions) check() error {
	if o.pull != "" && !slices.Contains(pullPolicies, o.pull) {
		return usagef("--pull %q: want Always, IfNotPresent or Never", o.pull)
	}
	if o.users != usersAuto && o.users != usersHost {
		return usagef("--userns %q: want auto or host", o.users)
	}
	if o.maxPIDs < -1 {
		return usagef("--pod-max-pids %d: want a number of processes, or -1 for no limit", o.maxPIDs)
	}
	return nil
}

// up is one run of the command.
type up struct {
	*app
	options *upOptions
	store   *state.Store
	objects *manifest.Objects
	records []*state.Record
	missing map[string]manifest.Problems // by the displayed name of the pod
	ended   []error                      // of the pods that have failed before this up
}

// newUp turns the pods into records.
func newUp(a *app, o *upOptions, objects *manifest.Objects) (*up, error) {
	store, err := a.store()
	if err != nil {
		return nil, err
	}
	if err := refuseEmptied(objects); err != nil {
		return nil, err
	}
	u := &up{app: a, options: o, store: store, objects: objects, missing: map[string]manifest.Problems{}}
	subnet6 := a.subnet6Of(store.Instance)
	for _, p := range objects.Pods {
		kept, err := monitor.Objects(store, p)
		if err != nil {
			return nil, err
		}
		u.missing[displayName(p)] = objects.Missing(p, kept)
		p.UID, p.Generation = types.UID(state.NewUID()), 1
		u.records = append(u.records, &state.Record{
			Created: time.Now().Truncate(time.Second), LogDir: store.LogDir,
			Subnet: a.subnet, Subnet6: subnet6, LinkPrefix: a.linkPrefix,
			PullPolicy: v1.PullPolicy(o.pull), Insecure: o.insecure.Value(), MaxPIDs: o.maxPIDs,
			Pod: p,
		})
	}
	return u, nil
}

// ownUsers decides for a new pod that leaves it open.
func (u *up) ownUsers(p *v1.Pod) bool {
	if u.options.users != usersAuto || p.Spec.HostUsers != nil {
		return false
	}
	obstacle := monitor.UsersObstacle(u.store, p)
	if u.verbose {
		u.notef("pod %s: %s\n", displayName(p), monitor.DescribeUsers(obstacle))
	}
	return obstacle == ""
}

// run brings up all pods, each as far as it comes.
func (u *up) run(ctx context.Context) error {
	var fresh []*launch
	for _, r := range u.records {
		l, err := u.settle(r)
		if err != nil {
			return err
		}
		if l != nil && l.record == r { // else what was decided when it was made stays
			r.OwnUsers = u.ownUsers(r.Pod)
		}
		if l != nil {
			fresh = append(fresh, l)
		}
	}
	if err := u.admit(fresh); err != nil {
		return err
	}
	if err := u.makeImagesPresent(ctx, fresh); err != nil {
		return err
	}
	kept, err := u.keepObjects(u.store, u.objects)
	if err != nil {
		return err
	}
	if err := u.tellPods(ctx, u.store, kept); err != nil {
		return err
	}
	for _, l := range fresh {
		l.tellMissing()
	}
	errs := make([]error, len(fresh))
	tell := u.tellObstacles(fresh)
	var all sync.WaitGroup
	all.Go(func() { monitor.Sweep(u.store) }) // of no concern to this up
	for i, l := range fresh {
		all.Go(func() { errs[i] = l.run(ctx) })
	}
	all.Wait()
	tell()
	if err := errors.Join(errs...); err != nil || !u.options.attach {
		return errors.Join(err, errors.Join(u.ended...))
	}
	return u.attach(ctx, fresh)
}

// makeImagesPresent applies the pull policies of all pods that will be made.
func (u *up) makeImagesPresent(ctx context.Context, fresh []*launch) error {
	var wanted []wantedImage
	for _, l := range fresh {
		spec := &l.record.Pod.Spec
		containers := slices.Concat(spec.InitContainers, spec.Containers)
		if l.change != nil {
			containers = changedImages(spec, &l.change.Spec)
		}
		if l.kept && (l.change == nil || len(containers) == 0) {
			continue
		}
		credentials, unread := monitor.Credentials(u.store, l.record.Pod, u.objects.Secrets)
		for _, err := range unread {
			u.notef("pod %s: %v\n", l.name(), err)
		}
		for _, c := range containers {
			policy := c.ImagePullPolicy
			if u.options.pull != "" {
				policy = v1.PullPolicy(u.options.pull)
			}
			wanted = append(wanted, wantedImage{reference: c.Image, policy: policy, credentials: credentials})
		}
		for _, v := range mountedImages(spec, containers) {
			policy := v.PullPolicy
			if u.options.pull != "" {
				policy = v1.PullPolicy(u.options.pull)
			}
			wanted = append(wanted, wantedImage{reference: v.Reference, policy: policy, credentials: credentials})
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	pulls, err := u.ensureImages(ctx, u.store, wanted, u.options.insecure.Value())
	for _, l := range fresh {
		l.record.Pulls = pulls
	}
	return err
}

// settle looks for a pod of the same name. It returns nil where there is
// nothing to do. An old pod goes only when the images of the new one are there.
func (u *up) settle(r *state.Record) (*launch, error) {
	f, err := monitor.FindByName(u.store, r.Pod.Namespace, r.Pod.Name)
	if errors.Is(err, os.ErrNotExist) {
		return &launch{up: u, record: r}, nil
	}
	if err != nil {
		return nil, err
	}
	name := displayName(r.Pod)
	switch {
	case f.Kept && f.Record == nil:
		return nil, fmt.Errorf("pod %s is being made by another podrun (uid %s)", name, f.UID)
	case f.Doomed(), f.Status.Removing(), u.options.replace:
		return &launch{up: u, record: r, old: f}, nil
	}
	kept := f.Kept && !f.Status.Ended && !hasEnded(f.Pod())
	diff := pod.Differences(f.Record.Pod, r.Pod)
	if len(diff) > 0 {
		if errs := pod.CheckChange(f.Record.Pod, r.Pod); len(errs) > 0 || !kept && !f.Lost() {
			return nil, changedError(name, diff, errs, f)
		}
	}
	switch {
	case f.Lost():
		if len(diff) > 0 {
			f.Record.Pod = pod.Changed(f.Record.Pod, r.Pod)
		}
		return &launch{up: u, record: f.Record, again: true}, nil
	case kept && len(diff) > 0:
		return &launch{up: u, record: f.Record, kept: true, change: r.Pod}, nil
	case kept:
		return &launch{up: u, record: f.Record, kept: true}, nil
	}
	u.printf("pod/%s unchanged (%s)\n", name, f.Status.Status.Phase)
	if f.Status.Status.Phase == v1.PodFailed {
		u.ended = append(u.ended, fmt.Errorf("pod %s has failed before, and stays: 'podrun up --replace' runs it again", name))
	}
	return nil, nil
}

// displayName has the namespace only where it is not the usual one.
func displayName(p *v1.Pod) string {
	return displayRef(state.Ref{Namespace: p.Namespace, Name: p.Name})
}

func displayRef(r state.Ref) string {
	if r.Namespace == v1.NamespaceDefault {
		return r.Name
	}
	return r.Namespace + "/" + r.Name
}
