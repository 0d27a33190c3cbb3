package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runc/libcontainer/configs"
	v1 "k8s.io/api/core/v1"
)

// defaultCapabilities are those of containerd and docker.
var defaultCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
	"CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
	"CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// capabilities are the default set with the container's changes, in the order of
// containerd (WithCapabilities): all are added, then all dropped, then single
// ones added, then single ones dropped. `drop: [ALL], add: [X]` leaves X, and
// what is both added and dropped is dropped.
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
	for _, c := range sc.Capabilities.Drop {
		set = slices.DeleteFunc(set, func(have string) bool { return have == capabilityName(c) })
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

// Paths that tell or change too much of the machine: those of the kubelet
// (pkg/securitycontext, ConvertToRuntimeMaskedPaths).
var (
	maskedPaths = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
		"/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
	}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// restrict hides those paths from the container, unless it is privileged or has
// procMount Unmasked.
func restrict(config *configs.Config, sc v1.SecurityContext) {
	if isTrue(sc.Privileged) || sc.ProcMount != nil && *sc.ProcMount == v1.UnmaskedProcMount {
		return
	}
	config.MaskPaths, config.ReadonlyPaths = append(throttling(), maskedPaths...), readonlyPaths
}

// throttling are the directories that tell how hot each processor is, and so what
// others do on it. Virtual machines have none.
func throttling() []string {
	if _, err := os.Stat("/sys/devices/system/cpu/cpu0/thermal_throttle"); err != nil {
		return nil
	}
	found, _ := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle")
	return found
}
