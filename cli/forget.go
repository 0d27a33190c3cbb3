package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	v1 "k8s.io/api/core/v1"

	"podrun/manifest"
	"podrun/monitor"
	"podrun/state"
)

// removeObjects forgets the ConfigMaps, Secrets and claims that the manifests
// name. As on a cluster a pod that still uses a ConfigMap or a Secret goes on with
// what it has, where that is not optional, and a claim stays until no pod uses it;
// its data is another matter.
func (d *down) removeObjects(ctx context.Context) error {
	if len(d.objects) == 0 {
		return nil
	}
	used, err := usedClaims(d.store)
	if err != nil {
		return err
	}
	var errs []error
	var gone []state.Object
	for _, o := range d.objects {
		_, isClaim := o.(*v1.PersistentVolumeClaim)
		c := claimRef{o.GetNamespace(), o.GetName()}
		if pod, ok := used[c]; isClaim && ok {
			d.notef("%s stays: pod %s uses it\n", objectName(o), pod)
			continue
		}
		err := d.forget(o.GetNamespace(), o.GetName(), kindOf(o).empty())
		if errors.Is(err, os.ErrNotExist) {
			continue // down may be repeated
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", objectName(o), err))
			continue
		}
		d.printf("%s removed\n", objectName(o))
		if pod := neededBy(d.store, o); pod != "" && !isClaim {
			d.notef("pod %s needs %s: it goes on with what it has, but its containers may not start again\n", pod, objectName(o))
		}
		gone = append(gone, o)
		if _, err := os.Stat(claimPath(d.store, c.namespace, c.name)); isClaim && err == nil && !d.options.volumes {
			d.notef("volume %s/%s stays with its data: --volumes removes it\n", c.namespace, c.name)
		}
	}
	return errors.Join(errors.Join(errs...), d.tellPods(ctx, d.store, gone))
}

// neededBy is the name of a pod that lacks something now that the object is gone;
// empty if none does.
func neededBy(s *state.Store, o state.Object) string {
	refs, err := s.Names(o.GetNamespace())
	if err != nil {
		return ""
	}
	for _, ref := range refs {
		r, err := s.ReadRecord(ref.UID)
		if err != nil || !refersTo(r.Pod, []state.Object{o}) {
			continue
		}
		if have, err := monitor.Objects(s, r.Pod); err == nil && manifest.Lacks(r.Pod, have) {
			return displayRef(ref)
		}
	}
	return ""
}

func (d *down) forget(namespace, name string, o state.Object) error {
	turn, err := d.store.LockObjects()
	if err != nil {
		return err
	}
	defer turn.Close()
	return d.store.RemoveObject(namespace, name, o)
}

// usedClaims are the claims of all pods, with the name of one that uses it.
func usedClaims(s *state.Store) (map[claimRef]string, error) {
	refs, err := s.Names("")
	if err != nil {
		return nil, err
	}
	used := map[claimRef]string{}
	for _, ref := range refs {
		if r, err := s.ReadRecord(ref.UID); err == nil {
			for _, c := range claimsOf(r) {
				used[c] = ref.Name
			}
		}
	}
	return used, nil
}
