package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/storage/ephemeral"

	"podrun/claims"
	"podrun/manifest"
	"podrun/state"
)

// usedClaim is a claim that a volume of the pod shows.
type usedClaim struct {
	volume string
	name   string
	spec   v1.PersistentVolumeClaimSpec
	own    *v1.PersistentVolumeClaimTemplate // of an ephemeral volume
}

// claimsOf are the claims of the volumes that the pod's containers mount, each once.
func claimsOf(p *v1.Pod, objects manifest.References) []usedClaim {
	var list []usedClaim
	mounted := manifest.MountedVolumes(&p.Spec)
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		c := usedClaim{volume: v.Name}
		switch {
		case !mounted[v.Name]:
			continue
		case v.PersistentVolumeClaim != nil:
			c.name = v.PersistentVolumeClaim.ClaimName
			if object := objects.Claims[c.name]; object != nil {
				c.spec = object.Spec
			}
		case v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil:
			c.name, c.own = ephemeral.VolumeClaimName(p, v), v.Ephemeral.VolumeClaimTemplate
			c.spec = c.own.Spec
		default:
			continue
		}
		if !slices.ContainsFunc(list, func(other usedClaim) bool { return other.name == c.name }) {
			list = append(list, c)
		}
	}
	return list
}

// useClaims makes the pod a user of its claims, and returns what is in its way in
// the kubelet's words. Pause keeps the locks that tell so: they end with the
// sandbox, whoever dies before.
func (m *monitor) useClaims(objects manifest.References) ([]error, error) {
	used := claimsOf(m.pod, objects)
	if len(used) == 0 {
		return nil, nil
	}
	kept, err := m.pause.Names()
	if err != nil {
		return nil, err
	}
	var waits []error
	for _, c := range used {
		key := "claim/" + c.volume
		if slices.Contains(kept, key) {
			continue
		}
		err := m.useClaim(c, key)
		var conflict *claimConflict
		if errors.As(err, &conflict) {
			waits = append(waits, fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", c.volume, err))
		} else if err != nil {
			return nil, fmt.Errorf("mount volume %q: %w", c.volume, err)
		}
	}
	return waits, nil
}

// claimConflict is a claim that the pod cannot have yet.
type claimConflict struct{ error }

func (m *monitor) useClaim(c usedClaim, key string) error {
	dir := filepath.Join(m.store.ClaimDir(m.pod.Namespace), c.name)
	if mode := c.spec.VolumeMode; mode != nil && *mode == v1.PersistentVolumeBlock {
		return fmt.Errorf("volume %s has volumeMode Block, but is specified in volumeMounts: use Filesystem", c.volume)
	}
	if c.own != nil {
		if err := m.makeOwnClaim(c, dir); err != nil {
			return err
		}
	}
	alone := slices.Contains(c.spec.AccessModes, v1.ReadWriteOncePod)
	lock, err := claims.Lock(dir, alone, false)
	if errors.Is(err, claims.ErrInUse) {
		m.awaitClaim(dir, alone, key)
		return &claimConflict{errors.New("volume uses the ReadWriteOncePod access mode and is already in use by another pod")}
	}
	if err != nil {
		return err
	}
	return errors.Join(m.pause.Keep(key, lock), lock.Close())
}

// awaitClaim lets the pod go on as soon as the claim is free.
func (m *monitor) awaitClaim(dir string, alone bool, key string) {
	if _, already := m.awaited.LoadOrStore(key, true); already {
		return
	}
	go func() {
		lock, err := claims.Lock(dir, alone, true)
		if err == nil {
			err = errors.Join(m.pause.Keep(key, lock), lock.Close())
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "podrun: wait for a claim: %v\n", err)
		}
		m.awaited.Delete(key)
		<-m.lives
		m.life.Retry()
	}()
}

// makeOwnClaim makes the claim of an ephemeral volume, and keeps it among the
// objects as the controller of such claims does. One that is not the pod's is in
// its way. The object comes last: the teardown finds it by the directory.
func (m *monitor) makeOwnClaim(c usedClaim, dir string) error {
	turn, err := m.store.LockObjects()
	if err != nil {
		return err
	}
	defer turn.Close()
	var found v1.PersistentVolumeClaim
	err = m.store.ReadObject(m.pod.Namespace, c.name, &found)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	kept := err == nil
	if kept && !ownedBy(&found, m.pod.UID) {
		return &claimConflict{claims.NotOwned(c.name, m.pod)}
	}
	if err := claims.Own(dir, m.pod); err != nil {
		return &claimConflict{err}
	}
	if kept {
		return nil
	}
	yes := true
	object := &v1.PersistentVolumeClaim{Spec: c.spec, ObjectMeta: metav1.ObjectMeta{
		Namespace: m.pod.Namespace, Name: c.name, UID: types.UID(state.NewUID()), ResourceVersion: "1",
		Labels: c.own.Labels, Annotations: c.own.Annotations, CreationTimestamp: metav1.Now(),
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "v1", Kind: "Pod", Name: m.pod.Name, UID: m.pod.UID, Controller: &yes, BlockOwnerDeletion: &yes,
		}},
	}}
	return m.store.WriteObject(object)
}

func ownedBy(c *v1.PersistentVolumeClaim, uid types.UID) bool {
	return slices.ContainsFunc(c.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == uid })
}

// removeOwnClaims removes the claims that end with the pod, and those of pods that
// are gone and that it was the last to use: the data last, by which they are found
// again where the removal was interrupted. What another pod uses stays until that
// one ends, as under a cluster's protection of claims in use.
func (t Teardown) removeOwnClaims() error {
	all := t.Store.ClaimDir(t.Ref.Namespace)
	names, err := claims.Owned(all, t.Ref.Name, t.Ref.UID)
	if err != nil {
		return err
	}
	owners, err := claims.Abandoned(all, func(uid string) bool {
		_, err := os.Lstat(t.Store.PodDir(uid))
		return !errors.Is(err, os.ErrNotExist)
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		owners[name] = t.Ref.UID
	}
	if len(owners) == 0 {
		return nil
	}
	turn, err := t.Store.LockObjects()
	if err != nil {
		return err
	}
	defer turn.Close()
	var failed []error
	for name, uid := range owners {
		failed = append(failed, t.removeOwnClaim(filepath.Join(all, name), types.UID(uid)))
	}
	return errors.Join(failed...)
}

func (t Teardown) removeOwnClaim(dir string, owner types.UID) error {
	lock, err := claims.Lock(dir, true, false)
	if errors.Is(err, claims.ErrInUse) {
		return nil // it goes with the pod that uses it
	}
	if err != nil {
		return err
	}
	lock.Close()
	var found v1.PersistentVolumeClaim
	err = t.Store.ReadObject(t.Ref.Namespace, filepath.Base(dir), &found)
	if errors.Is(err, os.ErrNotExist) || err == nil && ownedBy(&found, owner) {
		err = t.Store.RemoveObject(t.Ref.Namespace, filepath.Base(dir), &found)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return claims.Remove(dir)
}
