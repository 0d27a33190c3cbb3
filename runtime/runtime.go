// Package runtime runs one container through runc's libcontainer: its config,
// creation, start, exec, signals, exit and removal, with the defaults of a
// kubelet that has seccompDefault on. It knows one container and no policy:
// when to start, restart or stop is left to pod, what to mount to image and
// volumes, the namespaces to sandbox.
package runtime

import (
	"os"

	"github.com/opencontainers/runc/libcontainer"

	// The device rules of cgroup v1 and v2 register themselves with the cgroup managers.
	_ "github.com/opencontainers/cgroups/devices"
	// The C half of container init, which enters the namespaces before Go starts.
	_ "github.com/opencontainers/runc/libcontainer/nsenter"
)

// A container's init is this same binary, executed by libcontainer as "init".
func init() {
	if len(os.Args) > 1 && os.Args[1] == "init" && os.Getenv("_LIBCONTAINER_INITPIPE") != "" {
		libcontainer.Init()
	}
}
