package sandbox

import (
	"errors"
	"path/filepath"
	"time"
)

// Cgroup paths are absolute, the same in every hierarchy, and carry the
// instance, so that clean-up never touches another's:
//
//	/podrun/<instance>/<uid>              the pod: its limits, and below it its containers
//	/podrun/<instance>/<uid>/<container>  one attempt of one container
//	/podrun/<instance>/<uid>.sandbox      pause and monitor: not charged to the pod's limits
//
// On systemd they are elsewhere: see scope.go.

const cgroupTop = "/podrun"

// PodPath is the cgroup of a pod.
func PodPath(instance, uid string) string {
	if Delegated() {
		return filepath.Join(scopePath(instance, uid), "pod")
	}
	return filepath.Join(cgroupTop, instance, uid)
}

// ContainerPath is the cgroup of a container of the pod.
func ContainerPath(instance, uid, id string) string {
	return filepath.Join(PodPath(instance, uid), id)
}

// LeafPath is the cgroup of the pod's own processes.
func LeafPath(instance, uid string) string {
	if Delegated() {
		return filepath.Join(scopePath(instance, uid), "sandbox")
	}
	return PodPath(instance, uid) + ".sandbox"
}

// NewLeaf makes the cgroup of pause and monitor. It is nil where they have to be
// there first (Scope.Enter).
func NewLeaf(instance, uid string) (*Cgroup, error) {
	if Delegated() {
		return nil, nil
	}
	return NewCgroup(LeafPath(instance, uid), nil)
}

// KillPod ends all processes of a pod, pause and monitor first, for they would
// restart the rest.
func KillPod(instance, uid string, wait time.Duration) error {
	groups := []string{LeafPath(instance, uid), PodPath(instance, uid)}
	if Delegated() { // what has not joined the leaf yet
		groups = append(groups, scopePath(instance, uid))
	}
	for _, group := range groups {
		if err := KillCgroup(group, wait); err != nil {
			return err
		}
	}
	return nil
}

// RemovePod removes the cgroups of a pod without processes.
func RemovePod(instance, uid string) error {
	err := errors.Join(RemoveCgroup(PodPath(instance, uid)), RemoveCgroup(LeafPath(instance, uid)))
	if err == nil && Delegated() {
		err = removeScope(instance, uid)
	}
	RemoveInstance(instance)
	return err
}
