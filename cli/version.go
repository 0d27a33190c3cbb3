package cli

import (
	goruntime "runtime"

	"github.com/urfave/cli/v2"
)

// version is set by the linker (see the Makefile).
var version = "development"

func versionCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print podrun's version",
		Action: func(*cli.Context) error {
			a.printf("podrun %s (%s %s/%s)\n", version, goruntime.Version(), goruntime.GOOS, goruntime.GOARCH)
			return nil
		},
	}
}
