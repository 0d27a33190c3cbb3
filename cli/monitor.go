package cli

import (
	"os"

	"github.com/urfave/cli/v2"

	"podrun/monitor"
)

// monitorCommand is the process that keeps a pod. Only pause starts it.
func monitorCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "monitor",
		Hidden:    true,
		ArgsUsage: "UID",
		Action: func(c *cli.Context) error {
			store, err := a.store()
			if err != nil {
				return err
			}
			// libcontainer gives a container's init this name until it becomes the
			// container's program; with the monitor's own it would pass for one.
			os.Args[0] = "podrun"
			return monitor.Run(c.Context, store, c.Args().First())
		},
	}
}
