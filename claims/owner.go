package claims

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "k8s.io/api/core/v1"

	"podrun/step"
	"podrun/tree"
)

// ownerFile lies beside the data of a claim that belongs to a pod: it holds
// the pod's uid.
const ownerFile = "owner"

// Own makes the directory of a claim for the pod, unless it has it already.
// A claim that is not the pod's is refused (kubelet, VolumeIsForPod of component-helpers).
func Own(dir string, p *v1.Pod) error {
	owner, err := Owner(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeOwned(dir, string(p.UID)); err == nil {
			return nil
		}
		owner, _ = Owner(dir)
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

// Owner is the uid of the pod that the claim in the directory belongs to,
// empty where it outlives its pods.
func Owner(dir string) (string, error) {
	if _, err := os.Lstat(dir); err != nil {
		return "", err
	}
	uid, err := os.ReadFile(filepath.Join(dir, ownerFile))
	return string(uid), ignoreMissing(err)
}

// makeOwned makes the directory with its owner in it, at once.
func makeOwned(dir, uid string) error {
	partial := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+"."+uid)
	done := step.Change("make owned claim")
	err := fs.ErrNotExist
	for errors.Is(err, fs.ErrNotExist) { // the last claim of a namespace takes the directory with it
		if err = os.MkdirAll(filepath.Dir(dir), 0o700); err == nil {
			err = os.Mkdir(partial, 0o700)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.WriteFile(filepath.Join(partial, ownerFile), []byte(uid), 0o600); err != nil {
		return err
	}
	done()
	defer step.Change("show owned claim")()
	return os.Rename(partial, dir)
}

// Owned are the names of the claims in the directory of their namespace that
// belong to the pod. What a killed Own has left half made, or a killed Remove half
// removed, goes.
func Owned(dir, pod, uid string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	var names []string
	var failed []error
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, "."+pod+"-") && (strings.HasSuffix(name, "."+uid) || strings.HasSuffix(name, ".removed")) {
			failed = append(failed, tree.Remove(filepath.Join(dir, name)))
		}
		if !strings.HasPrefix(name, pod+"-") {
			continue
		}
		owner, err := Owner(filepath.Join(dir, name))
		failed = append(failed, ignoreMissing(err))
		if owner == uid {
			names = append(names, name)
		}
	}
	return names, errors.Join(failed...)
}

// Abandoned are the claims in the directory of their namespace that belong to a pod
// which is not there any more, with its uid.
func Abandoned(dir string, alive func(uid string) bool) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return map[string]string{}, ignoreMissing(err)
	}
	owners := map[string]string{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		owner, err := Owner(filepath.Join(dir, e.Name()))
		if ignoreMissing(err) != nil {
			return nil, err
		}
		if owner != "" && !alive(owner) {
			owners[e.Name()] = owner
		}
	}
	return owners, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
