package monitor

import (
	"strings"

	v1 "k8s.io/api/core/v1"

	"podrun/state"
)

// otherBoot reports whether what the status says of containers was before the
// machine's last boot: then nothing of it runs.
func otherBoot(s *state.Store, st *Status) bool {
	boot, _, known := strings.Cut(st.Sandbox, "/")
	return known && boot != s.Boot
}

// lostEnd is how a container ended that nobody has seen end: over a boot as
// containerd tells it (internal/cri/server, unknownExitCode), else as a kubelet
// whose runtime does not know the container.
func lostEnd(rebooted bool, while string) v1.ContainerStateTerminated {
	if rebooted {
		return v1.ContainerStateTerminated{ExitCode: 255, Reason: "Unknown", Message: "The container ended with the machine"}
	}
	return v1.ContainerStateTerminated{ExitCode: 137, Reason: "ContainerStatusUnknown", Message: "The container could not be located " + while}
}
