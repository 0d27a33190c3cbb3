package monitor

import (
	"fmt"
	"os"
	"strings"

	v1 "k8s.io/api/core/v1"

	"podrun/kernel"
	"podrun/pod"
	"podrun/state"
	"podrun/volumes"
)

// usersKernel is the first version that maps the ids of a tmpfs, which volumes of
// Secrets are. It maps those of an overlay's layers since 5.19.
const usersKernel = "6.3"

// UsersObstacle says why a pod that leaves hostUsers open keeps the machine's
// users under `up --userns=auto`; empty where it gets a user namespace.
func UsersObstacle(s *state.Store, p *v1.Pod) string {
	if why := pod.UsersObstacle(p); why != "" {
		return why
	}
	if !kernel.AtLeast(usersKernel) {
		return "id-mapped mounts of all that a pod needs take Linux " + usersKernel
	}
	if most, err := os.ReadFile("/proc/sys/user/max_user_namespaces"); err != nil || strings.TrimSpace(string(most)) == "0" {
		return "the machine allows no user namespaces (user.max_user_namespaces)"
	}
	if own, err := os.ReadFile("/proc/self/uid_map"); err != nil || strings.Join(strings.Fields(string(own)), " ") != "0 0 4294967295" {
		return "podrun is in a user namespace itself"
	}
	for _, path := range mappedPaths(s, p) {
		if err := volumes.MapsHere(path); err != nil {
			return err.Error()
		}
	}
	return ""
}

// mappedPaths are what the pod would see with ids of its own. Named volumes are
// below podrun's root.
func mappedPaths(s *state.Store, p *v1.Pod) []string {
	list := []string{s.Root}
	for _, v := range p.Spec.Volumes {
		if v.HostPath != nil {
			list = append(list, v.HostPath.Path)
		}
		if v.EmptyDir != nil && strings.HasPrefix(string(v.EmptyDir.Medium), string(v1.StorageMediumHugePages)) && !kernel.AtLeast("6.9") {
			list = append(list, "/dev/hugepages") // which is not mapped before
		}
	}
	return list
}

// hasOwnUsers: what the manifest says counts, and where it says nothing what `up`
// has decided when the pod was made.
func hasOwnUsers(r *state.Record) bool {
	if said := r.Pod.Spec.HostUsers; said != nil {
		return !*said
	}
	return r.OwnUsers
}

// DescribeUsers is what `up -v` says of a pod that leaves hostUsers open.
func DescribeUsers(obstacle string) string {
	if obstacle == "" {
		return "it gets a user namespace of its own (--userns=auto)"
	}
	return fmt.Sprintf("it keeps the machine's users (--userns=auto): %s", obstacle)
}
