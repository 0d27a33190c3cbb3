// Command podrun runs Kubernetes Pod manifests on one Linux machine.
package main

import (
	"context"
	"os"

	"podrun/cli"
)

func main() {
	os.Exit(cli.Run(context.Background(), os.Args, cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
