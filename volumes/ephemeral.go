package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// claimOwner is a file beside the data of a claim that belongs to a pod: it holds
// the pod's uid.
const claimOwner = "owner"

// EphemeralClaim is the name of the claim of a pod's ephemeral volume.
func EphemeralClaim(p *v1.Pod, volume string) string { return p.Name + "-" + volume }

// ephemeral makes a claim that belongs to the pod.
func (s *Spec) ephemeral(v *v1.Volume) (volume, error) {
	name := EphemeralClaim(s.Pod, v.Name)
	if err := checkName("claim", name); err != nil {
		return volume{}, err
	}
	if err := OwnClaim(filepath.Join(s.Claims, name), s.Pod); err != nil {
		return volume{}, err
	}
	made, err := s.claim(v.Name, &v1.PersistentVolumeClaimVolumeSource{ClaimName: name})
	made.own = true
	return made, err
}

// OwnClaim makes the directory of a claim for the pod, unless it has it already.
// A claim that is not the pod's is refused (kubelet, ephemeral.VolumeIsForPod).
func OwnClaim(dir string, p *v1.Pod) error {
	owner, err := ClaimOwner(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeOwned(dir, string(p.UID)); err == nil {
			return nil
		}
		owner, _ = ClaimOwner(dir)
	}
	if owner == string(p.UID) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return NotOwned(filepath.Base(dir), p)
}

// NotOwned is the kubelet's complaint of a claim that is in the way of a pod's own.
func NotOwned(claim string, p *v1.Pod) error {
	return fmt.Errorf("PVC %s/%s was not created for pod %s/%s (pod is not owner): 'podrun volume rm %s' or another name for the pod makes room",
		p.Namespace, claim, p.Namespace, p.Name, claim)
}

// ClaimOwner is the uid of the pod that the claim in the directory belongs to,
// empty where it outlives its pods.
func ClaimOwner(dir string) (string, error) {
	if _, err := os.Lstat(dir); err != nil {
		return "", err
	}
	uid, err := os.ReadFile(filepath.Join(dir, claimOwner))
	return string(uid), ignoreMissing(err)
}

// makeOwned makes the directory with its owner in it, at once.
func makeOwned(dir, uid string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	partial := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+"."+uid)
	if err := os.Mkdir(partial, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.WriteFile(filepath.Join(partial, claimOwner), []byte(uid), 0o600); err != nil {
		return err
	}
	return os.Rename(partial, dir)
}

// OwnedClaims are the names of the claims in the directory (Spec.Claims) that
// belong to the pod. What a killed OwnClaim has left half made is removed.
func OwnedClaims(claims, pod, uid string) ([]string, error) {
	entries, err := os.ReadDir(claims)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	var names []string
	var failed []error
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, "."+pod+"-") && strings.HasSuffix(name, "."+uid) {
			failed = append(failed, RemoveTree(filepath.Join(claims, name)))
		}
		if !strings.HasPrefix(name, pod+"-") {
			continue
		}
		owner, err := ClaimOwner(filepath.Join(claims, name))
		failed = append(failed, ignoreMissing(err))
		if owner == uid {
			names = append(names, name)
		}
	}
	return names, errors.Join(failed...)
}
