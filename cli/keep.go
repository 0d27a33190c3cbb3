package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"podrun/manifest"
	"podrun/manifest/check"
	"podrun/monitor"
	"podrun/state"
)

// objectsOf are the objects of manifests that are kept beside the pods.
func objectsOf(o *manifest.Objects) []state.Object {
	var list []state.Object
	for _, c := range o.ConfigMaps {
		list = append(list, c)
	}
	for _, s := range o.Secrets {
		list = append(list, s)
	}
	for _, c := range o.Claims {
		list = append(list, c)
	}
	return list
}

func objectName(o state.Object) string {
	return kindOf(o).name + "/" + displayRef(state.Ref{Namespace: o.GetNamespace(), Name: o.GetName()})
}

// change is what becomes of one kept object.
type change struct {
	object state.Object
	verb   string // as kubectl apply says it: created, configured, unchanged
}

// keepObjects makes or updates the ConfigMaps, Secrets and claims of manifests,
// all or none, and returns them.
func (a *app) keepObjects(s *state.Store, o *manifest.Objects) ([]state.Object, error) {
	list := objectsOf(o)
	if len(list) == 0 {
		return nil, nil
	}
	turn, err := s.LockObjects()
	if err != nil {
		return nil, err
	}
	defer turn.Close()
	changes, err := planChanges(s, o, list)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		if c.verb != "unchanged" {
			if err := s.WriteObject(c.object); err != nil {
				return nil, fmt.Errorf("keep %s: %w", objectName(c.object), err)
			}
		}
		a.printf("%s %s\n", objectName(c.object), c.verb)
	}
	return list, nil
}

// refuseEmptied complains of Secrets that 'podrun get' printed without their values.
func refuseEmptied(o *manifest.Objects) error {
	var problems manifest.Problems
	for _, s := range o.Secrets {
		if _, marked := s.Annotations[valuesLeftOut]; marked {
			problems = append(problems, o.ProblemAt(s, "metadata.annotations", "secret "+s.Name+" was printed without its values: 'podrun get secret "+s.Name+" -o yaml --show-values' prints them"))
		}
	}
	if len(problems) > 0 {
		return complaint{problems}
	}
	return nil
}

func planChanges(s *state.Store, o *manifest.Objects, list []state.Object) ([]change, error) {
	var changes []change
	var problems manifest.Problems
	for _, object := range list {
		old := kindOf(object).empty()
		err := s.ReadObject(object.GetNamespace(), object.GetName(), old)
		if errors.Is(err, os.ErrNotExist) {
			stamp(object, nil)
			changes = append(changes, change{object, "created"})
			continue
		}
		if err != nil {
			return nil, err
		}
		if c, ok := object.(*v1.PersistentVolumeClaim); ok && c.Spec.VolumeName == c.Name { // as get shows it
			c.Spec.VolumeName = old.(*v1.PersistentVolumeClaim).Spec.VolumeName
		}
		for _, e := range updateErrors(object, old) {
			problems = append(problems, o.ProblemAt(object, e.Field, e.ErrorBody()))
		}
		verb := "configured"
		if sameObject(object, old) {
			verb = "unchanged"
		}
		stamp(object, old)
		changes = append(changes, change{object, verb})
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%w\n'podrun down' of the manifest removes what is kept, so that 'podrun up' can make it anew", complaint{problems})
	}
	return changes, nil
}

func updateErrors(updated, old state.Object) field.ErrorList {
	switch n := updated.(type) {
	case *v1.ConfigMap:
		return check.ConfigMapUpdate(n, old.(*v1.ConfigMap))
	case *v1.Secret:
		return check.SecretUpdate(n, old.(*v1.Secret))
	}
	return check.ClaimUpdate(updated.(*v1.PersistentVolumeClaim), old.(*v1.PersistentVolumeClaim))
}

// sameObject compares what a manifest says.
func sameObject(a, b state.Object) bool {
	plain := func(o state.Object) any {
		switch o := o.(type) {
		case *v1.ConfigMap:
			c := o.DeepCopy()
			c.TypeMeta, c.ObjectMeta = metav1.TypeMeta{}, metav1.ObjectMeta{Labels: o.Labels, Annotations: o.Annotations}
			return c
		case *v1.Secret:
			c := o.DeepCopy()
			c.TypeMeta, c.ObjectMeta = metav1.TypeMeta{}, metav1.ObjectMeta{Labels: o.Labels, Annotations: o.Annotations}
			c.StringData = nil // it has gone into data
			return c
		}
		c := o.(*v1.PersistentVolumeClaim).DeepCopy()
		c.TypeMeta, c.ObjectMeta = metav1.TypeMeta{}, metav1.ObjectMeta{Labels: c.Labels, Annotations: c.Annotations}
		return c
	}
	return equality.Semantic.DeepEqual(plain(a), plain(b))
}

// stamp gives an object what a server would: an identity that stays, and a
// version that goes up with each change.
func stamp(o, old state.Object) {
	if old == nil {
		o.SetUID(types.UID(state.NewUID()))
		o.SetCreationTimestamp(metav1.NewTime(time.Now().Truncate(time.Second)))
		o.SetResourceVersion("1")
		return
	}
	version, _ := strconv.Atoi(old.GetResourceVersion())
	o.SetUID(old.GetUID())
	o.SetCreationTimestamp(old.GetCreationTimestamp())
	o.SetResourceVersion(strconv.Itoa(version + 1))
}

// followTimeout is how long a monitor has to take in changed objects.
const followTimeout = 30 * time.Second

// tellPods lets the running pods that refer to kept objects follow. One that is
// just being made reads them by itself. Those that have not changed are told of,
// too: who changed them may have been killed before it could. What a pod cannot
// follow is told: the objects are kept nonetheless.
func (a *app) tellPods(ctx context.Context, s *state.Store, kept []state.Object) error {
	if len(kept) == 0 {
		return nil
	}
	refs, err := s.Names("")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	var all sync.WaitGroup
	failed := make([]error, len(refs))
	for i, ref := range refs {
		r, err := s.ReadRecord(ref.UID)
		if err != nil || !refersTo(r.Pod, kept) {
			continue // half made or half removed: nothing of it runs
		}
		all.Go(func() { failed[i] = refreshPod(ctx, s, ref) })
	}
	all.Wait()
	for _, err := range failed {
		if err != nil {
			a.notef("%v\n", err)
		}
	}
	return nil
}

func refreshPod(ctx context.Context, s *state.Store, ref state.Ref) error {
	err := monitor.Tell(ctx, s, ref.UID, monitor.Request{Refresh: true})
	var refused monitor.Refusal
	switch {
	case err == nil, errors.Is(err, monitor.ErrNoMonitor):
		return nil // a pod without has ended, or reads the objects when it is started again
	case errors.As(err, &refused):
		return fmt.Errorf("pod %s keeps what it had: %w", displayRef(ref), err)
	}
	return fmt.Errorf("pod %s does not follow: %w", displayRef(ref), err)
}

// refersTo tells whether a pod uses one of the objects.
func refersTo(p *v1.Pod, objects []state.Object) bool {
	names := manifest.NamesOf(&p.Spec)
	return slices.ContainsFunc(objects, func(o state.Object) bool {
		if o.GetNamespace() != p.Namespace {
			return false
		}
		switch o.(type) {
		case *v1.ConfigMap:
			return slices.Contains(names.ConfigMaps, o.GetName())
		case *v1.Secret:
			return slices.Contains(names.Secrets, o.GetName())
		}
		return slices.Contains(names.Claims, o.GetName())
	})
}
