package cli

import (
	"context"
	"os"

	"podrun/monitor"
	"podrun/state"
	"podrun/step"
)

// keepPod is the process that keeps a pod. It is no command: the flags and texts of
// all commands would stay with it for as long as the pod runs.
func (a *app) keepPod(ctx context.Context, config state.Config, uid string) error {
	step.As("monitor")
	a.config = config
	store, err := a.store()
	if err != nil {
		return err
	}
	// libcontainer gives a container's init this name until it becomes the
	// container's program; with the monitor's own it would pass for one.
	os.Args[0] = "podrun"
	return monitor.Run(ctx, store, uid)
}
