package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"podrun/state"
)

type getOptions struct {
	scope
	output string
	values bool
}

func getCommand(a *app) *cli.Command {
	var o getOptions
	return &cli.Command{
		Name:      "get",
		Usage:     "list ConfigMaps, Secrets and claims that are kept, or pods",
		ArgsUsage: "configmap|secret|pvc|pod [NAME...]",
		Description: "The values of Secrets are left out: 'podrun get secret NAME -o yaml --show-values' prints them.\n" +
			"The kinds are named as in kubectl: configmap or cm, secret, persistentvolumeclaim or pvc, pod or po.",
		Flags: append(o.flags(),
			outputFlag(&o.output, "wide", "json", "yaml", "name"),
			&cli.BoolFlag{Name: "show-values", Destination: &o.values, Usage: "with -o json or yaml: Secrets with their values"},
		),
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef("get needs a kind: configmap, secret, pvc or pod")
			}
			store, err := a.store()
			if err != nil {
				return err
			}
			kind, names := splitKind(c.Args().Slice())
			if slices.Contains([]string{"pod", "pods", "po"}, kind) {
				return a.showPods(store, o.scope, podsOutput{format: o.output, names: names, selector: anyPod})
			}
			g := getter{app: a, options: &o, store: store}
			if g.kind = kindCalled(kind); g.kind == nil {
				return usagef("get %q: want configmap, secret, pvc or pod", kind)
			}
			return g.run(names)
		},
	}
}

// splitKind understands kubectl's two forms, KIND NAME... and KIND/NAME.
func splitKind(args []string) (kind string, names []string) {
	kind, name, joined := strings.Cut(args[0], "/")
	if joined {
		names = append(names, name)
	}
	for _, arg := range args[1:] {
		names = append(names, strings.TrimPrefix(arg, kind+"/"))
	}
	return strings.ToLower(kind), names
}

// keptKind is one kind of kept objects as kubectl shows it.
type keptKind struct {
	name   string   // as kubectl prints it before an object's
	called []string // by users beside it; the first is the plural
	kind   string
	empty  func() state.Object
	head   []string
	wide   []string // the columns that -o wide adds
	cells  func(g *getter, o state.Object) []string
}

var (
	configMapKind = keptKind{
		name: "configmap", called: []string{"configmaps", "cm"}, kind: "ConfigMap",
		empty: func() state.Object { return &v1.ConfigMap{} },
		head:  []string{"NAME", "DATA", "AGE"}, cells: configMapCells,
	}
	secretKind = keptKind{
		name: "secret", called: []string{"secrets"}, kind: "Secret",
		empty: func() state.Object { return &v1.Secret{} },
		head:  []string{"NAME", "TYPE", "DATA", "AGE"}, cells: secretCells,
	}
	claimKind = keptKind{
		name: "persistentvolumeclaim", called: []string{"persistentvolumeclaims", "pvc"}, kind: "PersistentVolumeClaim",
		empty: func() state.Object { return &v1.PersistentVolumeClaim{} },
		head:  []string{"NAME", "STATUS", "VOLUME", "CAPACITY", "ACCESS MODES", "STORAGECLASS", "AGE"}, wide: []string{"VOLUMEMODE"}, cells: claimCells,
	}
)

// kindCalled is the kind that a user names; nil: none.
func kindCalled(word string) *keptKind {
	for _, k := range []*keptKind{&configMapKind, &secretKind, &claimKind} {
		if word == k.name || slices.Contains(k.called, word) {
			return k
		}
	}
	return nil
}

func kindOf(o state.Object) *keptKind {
	switch o.(type) {
	case *v1.ConfigMap:
		return &configMapKind
	case *v1.Secret:
		return &secretKind
	}
	return &claimKind
}

type getter struct {
	*app
	options *getOptions
	store   *state.Store
	kind    *keptKind
}

func (g *getter) run(names []string) error {
	objects, unread := g.find(names)
	switch g.options.output {
	case "json", "yaml":
		if len(names) == 1 && unread != nil {
			return unread
		}
		var items []any
		for _, o := range objects {
			items = append(items, g.shown(o))
		}
		return errors.Join(g.encodeItems(items, len(names) == 1, g.options.output), unread)
	case "name":
		for _, o := range objects {
			g.printf("%s/%s\n", g.kind.name, o.GetName())
		}
		return unread
	}
	if len(objects) == 0 && unread == nil {
		g.noteNone(g.options.scope)
	}
	if len(objects) == 0 {
		return unread
	}
	return errors.Join(g.table(objects), unread)
}

// find reads what was asked for. The error is of what is not there or cannot be read.
func (g *getter) find(names []string) ([]state.Object, error) {
	var refs []state.Ref
	for _, n := range names {
		refs = append(refs, state.Ref{Namespace: g.options.namespace, Name: n})
	}
	if len(names) == 0 {
		var err error
		if refs, err = g.store.ObjectNames(g.options.within(), g.kind.empty()); err != nil {
			return nil, err
		}
	}
	var found []state.Object
	var unread []error
	for _, ref := range refs {
		o := g.kind.empty()
		err := g.store.ReadObject(ref.Namespace, ref.Name, o)
		switch {
		case errors.Is(err, os.ErrNotExist) && len(names) == 0:
			// went away while we looked
		case errors.Is(err, os.ErrNotExist):
			unread = append(unread, fmt.Errorf("%s %q not found; 'podrun get %s -A' lists all", g.kind.called[0], ref.Name, g.kind.called[0]))
		case err != nil:
			unread = append(unread, err)
		default:
			found = append(found, o)
		}
	}
	return found, errors.Join(unread...)
}

func (g *getter) table(objects []state.Object) error {
	head := g.kind.head
	if g.options.output == "wide" {
		head = slices.Concat(head, g.kind.wide)
	}
	t := newTable(g.Out, g.options.all, head...)
	for _, o := range objects {
		t.row(o.GetNamespace(), g.kind.cells(g, o)[:len(head)]...)
	}
	return t.Flush()
}

func ageOf(o state.Object) string { return age(o.GetCreationTimestamp().Time, time.Now()) }

func configMapCells(_ *getter, o state.Object) []string {
	c := o.(*v1.ConfigMap)
	return []string{c.Name, fmt.Sprint(len(c.Data) + len(c.BinaryData)), ageOf(c)}
}

func secretCells(_ *getter, o state.Object) []string {
	s := o.(*v1.Secret)
	return []string{s.Name, string(s.Type), fmt.Sprint(len(s.Data)), ageOf(s)}
}

// claimCells shows a claim as bound once its directory is there, which the first
// pod that mounts it makes.
func claimCells(g *getter, o state.Object) []string {
	c := o.(*v1.PersistentVolumeClaim)
	mode := v1.PersistentVolumeFilesystem
	if c.Spec.VolumeMode != nil {
		mode = *c.Spec.VolumeMode
	}
	class := ""
	if c.Spec.StorageClassName != nil {
		class = *c.Spec.StorageClassName
	}
	status, volume, capacity, modes := "Pending", "", "", ""
	if g.bound(c) {
		size := c.Spec.Resources.Requests[v1.ResourceStorage]
		status, volume, capacity, modes = "Bound", c.Name, size.String(), accessModes(c.Spec.AccessModes)
	}
	return []string{c.Name, status, volume, capacity, modes, class, ageOf(c), string(mode)}
}

func (g *getter) bound(c *v1.PersistentVolumeClaim) bool {
	_, err := os.Stat(claimPath(g.store, c.Namespace, c.Name))
	return err == nil
}

// accessModes are kubectl's abbreviations, in its order.
func accessModes(modes []v1.PersistentVolumeAccessMode) string {
	var short []string
	for _, m := range []struct {
		mode v1.PersistentVolumeAccessMode
		name string
	}{{v1.ReadWriteOnce, "RWO"}, {v1.ReadOnlyMany, "ROX"}, {v1.ReadWriteMany, "RWX"}, {v1.ReadWriteOncePod, "RWOP"}} {
		if slices.Contains(modes, m.mode) {
			short = append(short, m.name)
		}
	}
	return strings.Join(short, ",")
}

// valuesLeftOut is the annotation of a Secret that was printed without its values.
// up refuses it: it would empty the Secret that is kept.
const valuesLeftOut = "podrun.dev/values-left-out"

// shown is an object as the API shows it; a Secret without its data, unless the
// values were asked for.
func (g *getter) shown(o state.Object) any {
	meta := metav1.TypeMeta{Kind: g.kind.kind, APIVersion: "v1"}
	switch o := o.(type) {
	case *v1.ConfigMap:
		o.TypeMeta = meta
	case *v1.Secret:
		o.TypeMeta, o.StringData = meta, nil
		if !g.options.values {
			o.Data = nil
			if o.Annotations == nil {
				o.Annotations = map[string]string{}
			}
			o.Annotations[valuesLeftOut] = "true"
		}
	case *v1.PersistentVolumeClaim:
		o.TypeMeta = meta
		o.Status.Phase = v1.ClaimPending
		if g.bound(o) {
			o.Status = v1.PersistentVolumeClaimStatus{Phase: v1.ClaimBound, AccessModes: o.Spec.AccessModes, Capacity: o.Spec.Resources.Requests}
			o.Spec.VolumeName = o.Name
		}
	}
	return o
}
