package monitor

import (
	"os"
	"path/filepath"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"podrun/claims"
)

// A pod's own claims end with it, but for one that another pod uses: that one ends
// with the last pod that does.
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
			Namespace: p.Namespace, Name: name, OwnerReferences: []metav1.OwnerReference{{Kind: "Pod", Name: p.Name, UID: p.UID}},
		}})
	}
	lock, err := claims.Lock(filepath.Join(all, used), false, false)
	if err != nil {
		t.Fatal(err)
	}
	down, other := Teardown{Store: s, Ref: ref}, Teardown{Store: s, Ref: ref}
	down.Ref.UID, other.Ref.Name, other.Ref.UID = uid, "other", "other"
	remove := func(t2 Teardown) {
		t.Helper()
		for range 2 {
			if err := t2.removeOwnClaims(); err != nil {
				t.Fatal(err)
			}
		}
	}
	owned := func(name string) string {
		owner, err := claims.Owner(filepath.Join(all, name))
		if os.IsNotExist(err) {
			return "gone"
		}
		return owner
	}
	remove(down)
	if owned(unused) != "gone" || owned(used) != uid {
		t.Errorf("the claim that nobody uses: %s; that is used: %s", owned(unused), owned(used))
	}
	lock.Close()
	if err := os.MkdirAll(s.PodDir(uid), 0o700); err != nil { // the owner is there after all
		t.Fatal(err)
	}
	remove(other)
	if owned(used) != uid {
		t.Errorf("the claim of a pod that is there: %s", owned(used))
	}
	if err := os.RemoveAll(s.PodDir(uid)); err != nil {
		t.Fatal(err)
	}
	remove(other)
	var kept v1.PersistentVolumeClaim
	if err := s.ReadObject(p.Namespace, used, &kept); !os.IsNotExist(err) || owned(used) != "gone" {
		t.Errorf("after its last user: %s, and the object: %v", owned(used), err)
	}
	if _, err := os.Lstat(all); !os.IsNotExist(err) {
		t.Errorf("the empty directory of the namespace is left: %v", err)
	}
}
