package monitor

import (
	"os"
	"path/filepath"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"podrun/claims"
)

// A pod's own claims end with it, but for one that another pod uses: that one
// belongs to nobody from then on.
func TestRemoveOwnClaims(t *testing.T) {
	s := newStore(t)
	p := newRecord(s).Pod
	all := s.ClaimDir(p.Namespace)
	used, unused := p.Name+"-used", p.Name+"-unused"
	for _, name := range []string{used, unused} {
		if err := claims.Own(filepath.Join(all, name), p); err != nil {
			t.Fatal(err)
		}
		keepObject(t, s, &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, Name: name, OwnerReferences: []metav1.OwnerReference{{Kind: "Pod", Name: p.Name, UID: p.UID}, {UID: "other"}},
		}})
	}
	lock, err := claims.Lock(filepath.Join(all, used), false, false)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	down := Teardown{Store: s, Ref: ref}
	down.Ref.UID = uid
	for range 2 {
		if err := down.removeOwnClaims(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(all, unused)); !os.IsNotExist(err) {
		t.Errorf("the claim that nobody uses is left: %v", err)
	}
	if owner, err := claims.Owner(filepath.Join(all, used)); err != nil || owner != "" {
		t.Errorf("the claim that is used: got owner %q and %v, want none", owner, err)
	}
	var kept v1.PersistentVolumeClaim
	if err := s.ReadObject(p.Namespace, used, &kept); err != nil {
		t.Fatal(err)
	}
	if len(kept.OwnerReferences) != 1 || kept.OwnerReferences[0].UID != "other" {
		t.Errorf("got owners %v, want the other one alone", kept.OwnerReferences)
	}
}
