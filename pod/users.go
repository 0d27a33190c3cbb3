package pod

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// maxOwnID is the largest user or group of a pod with a user namespace of its own,
// which has as many ids as under a kubelet by default.
const maxOwnID = 65535

// ownCapabilities are those that are of use to the pod's own root: over files that
// are its own, its processes, and the pod's network. All others are over the
// machine, and the kernel asks for them in the machine's user namespace
// (capabilities(7), user_namespaces(7)).
var ownCapabilities = []string{
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW",
	"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT", "SYS_PTRACE",
}

// UsersObstacle says why a pod that leaves hostUsers open had better keep the
// machine's users; empty if nothing in its manifest speaks against users of its
// own. What the API forbids beside hostUsers: false is a part of it
// (ValidatePodSecurityContext), the rest is what would not work.
func UsersObstacle(p *v1.Pod) string {
	spec := &p.Spec
	switch {
	case spec.HostNetwork:
		return "spec.hostNetwork is true"
	case spec.HostPID:
		return "spec.hostPID is true"
	case spec.HostIPC:
		return "spec.hostIPC is true"
	}
	for i := range spec.Volumes {
		if why := volumeObstacle(&spec.Volumes[i]); why != "" {
			return fmt.Sprintf("volume %q is %s", spec.Volumes[i].Name, why)
		}
	}
	if sc := spec.SecurityContext; sc != nil {
		groups := append([]int64{number(sc.RunAsUser), number(sc.RunAsGroup), number(sc.FSGroup)}, sc.SupplementalGroups...)
		if largest := slices.Max(groups); largest > maxOwnID {
			return fmt.Sprintf("spec.securityContext names the user or group %d, beyond %d", largest, maxOwnID)
		}
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		if why := containerObstacle(&c); why != "" {
			return fmt.Sprintf("container %s %s", c.Name, why)
		}
	}
	return ""
}

// volumeObstacle: who is at the other end of a socket is told by the machine's ids.
func volumeObstacle(v *v1.Volume) string {
	if v.HostPath == nil || v.HostPath.Type == nil {
		return ""
	}
	switch *v.HostPath.Type {
	case v1.HostPathSocket:
		return "a socket of the machine"
	case v1.HostPathCharDev, v1.HostPathBlockDev:
		return "a device of the machine"
	}
	return ""
}

func containerObstacle(c *v1.Container) string {
	if len(c.VolumeDevices) > 0 {
		return "uses devices of the machine"
	}
	for _, m := range c.VolumeMounts {
		if m.MountPropagation != nil && *m.MountPropagation == v1.MountPropagationBidirectional {
			return "mounts for the machine"
		}
	}
	sc := c.SecurityContext
	if sc == nil {
		return ""
	}
	if sc.Privileged != nil && *sc.Privileged {
		return "is privileged"
	}
	if largest := max(number(sc.RunAsUser), number(sc.RunAsGroup)); largest > maxOwnID {
		return fmt.Sprintf("names the user or group %d, beyond %d", largest, maxOwnID)
	}
	if sc.Capabilities == nil {
		return ""
	}
	for _, name := range sc.Capabilities.Add {
		if !slices.Contains(ownCapabilities, strings.TrimPrefix(strings.ToUpper(string(name)), "CAP_")) {
			return fmt.Sprintf("adds the capability %s, which is over the machine", name)
		}
	}
	return ""
}

func number(id *int64) int64 {
	if id == nil {
		return 0
	}
	return *id
}
