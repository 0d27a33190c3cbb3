// Command podrun runs Kubernetes Pod manifests on one Linux machine.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"podrun/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends the program
	os.Exit(cli.Run(ctx, os.Args, cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
