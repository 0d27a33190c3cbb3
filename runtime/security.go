package runtime

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/profiles/seccomp"
	"github.com/moby/sys/capability"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/specconv"
	"github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
)

// defaultCapabilities are those of containerd and docker.
var defaultCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
	"CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
	"CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// capabilities are the default set with drop and add applied, drop first, as
// containerd does: `drop: [ALL], add: [X]` leaves X.
func capabilities(sc v1.SecurityContext) ([]string, error) {
	if isTrue(sc.Privileged) {
		return ownCapabilities()
	}
	set := slices.Clone(defaultCapabilities)
	if sc.Capabilities == nil {
		return set, nil
	}
	if hasAll(sc.Capabilities.Add) {
		all, err := ownCapabilities()
		if err != nil {
			return nil, err
		}
		set = all
	}
	if hasAll(sc.Capabilities.Drop) {
		set = nil
	}
	for _, c := range sc.Capabilities.Drop {
		set = slices.DeleteFunc(set, func(have string) bool { return have == capabilityName(c) })
	}
	for _, c := range sc.Capabilities.Add {
		name := capabilityName(c)
		if name == "CAP_ALL" || slices.Contains(set, name) {
			continue
		}
		if !slices.ContainsFunc(capability.ListKnown(), func(k capability.Cap) bool { return linuxName(k) == name }) {
			return nil, &ConfigError{fmt.Sprintf("unknown capability %q", c)}
		}
		set = append(set, name)
	}
	return set, nil
}

func hasAll(list []v1.Capability) bool {
	return slices.ContainsFunc(list, func(c v1.Capability) bool { return capabilityName(c) == "CAP_ALL" })
}

func capabilityName(c v1.Capability) string {
	name := strings.ToUpper(string(c))
	if !strings.HasPrefix(name, "CAP_") {
		name = "CAP_" + name
	}
	return name
}

func linuxName(c capability.Cap) string { return "CAP_" + strings.ToUpper(c.String()) }

// ownCapabilities are all that this process may give: on a machine whose root
// lacks some, such as another container, ALL means all of the rest.
func ownCapabilities() ([]string, error) {
	self, err := capability.NewPid2(0)
	if err != nil {
		return nil, fmt.Errorf("read own capabilities: %w", err)
	}
	if err := self.Load(); err != nil {
		return nil, fmt.Errorf("read own capabilities: %w", err)
	}
	var names []string
	for _, c := range capability.ListKnown() {
		if self.Get(capability.BOUNDING, c) && self.Get(capability.PERMITTED, c) {
			names = append(names, linuxName(c))
		}
	}
	return names, nil
}

// Inheritable and ambient stay empty (CVE-2022-24769): a user other than root
// gets its capabilities from files.
func capabilitySets(names []string) *configs.Capabilities {
	return &configs.Capabilities{Bounding: names, Effective: names, Permitted: names}
}

// seccompFilter is RuntimeDefault where nothing is said, as under a kubelet
// with seccompDefault. The profile's rules for x32 are left out: that ABI is off
// in the kernels of the distributions, and libseccomp needs half of its 11 ms,
// at every start and every exec, to compile them. A program that uses x32 all
// the same is killed, as by a filter of one architecture.
func seccompFilter(sc v1.SecurityContext, names []string) (*configs.Seccomp, error) {
	if isTrue(sc.Privileged) {
		return nil, nil
	}
	if sc.SeccompProfile != nil && sc.SeccompProfile.Type == v1.SeccompProfileTypeUnconfined {
		return nil, nil
	}
	caps := &specs.LinuxCapabilities{Bounding: names, Effective: names, Permitted: names}
	profile, err := seccomp.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: caps}})
	if err != nil {
		return nil, fmt.Errorf("build the RuntimeDefault seccomp profile: %w", err)
	}
	profile.Architectures = slices.DeleteFunc(profile.Architectures, func(a specs.Arch) bool { return a == specs.ArchX32 })
	filter, err := specconv.SetupSeccomp(profile)
	if err != nil {
		return nil, fmt.Errorf("build the RuntimeDefault seccomp profile: %w", err)
	}
	return filter, nil
}

// Paths that tell or change too much of the machine: those of containerd.
var (
	maskedPaths = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
		"/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
	}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)
