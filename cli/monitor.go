package cli

import (
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
			return monitor.Run(c.Context, store, c.Args().First())
		},
	}
}
