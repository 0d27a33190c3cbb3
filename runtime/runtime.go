// Package runtime runs one container through runc's libcontainer: its config,
// creation, start, exec, signals, exit and removal, with the defaults of a
// kubelet that has seccompDefault on. It knows one container and no policy:
// when to start, restart or stop is left to pod, what to mount to image and
// volumes, the namespaces to sandbox.
package runtime

import (
	"os"
	goruntime "runtime"

	"github.com/opencontainers/runc/libcontainer"

	// The device rules of cgroup v1 and v2 register themselves with the cgroup managers.
	_ "github.com/opencontainers/cgroups/devices"
	// The C half of container init, which enters the namespaces before Go starts.
	_ "github.com/opencontainers/runc/libcontainer/nsenter"
)

// A container's init is this same binary, executed by libcontainer as "init".
func init() {
	// The main thread is for the main goroutine alone. libcontainer moves a
	// thread into each new container's mount namespace and lets it end there;
	// the main one would not end, would keep the container's mounts alive, and
	// would show them in /proc/self as those of the whole process.
	goruntime.LockOSThread()
	if len(os.Args) > 1 && os.Args[1] == "init" && os.Getenv("_LIBCONTAINER_INITPIPE") != "" {
		libcontainer.Init()
	}
}
