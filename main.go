// The runtime would keep the files of a limit on the processors of the caller's
// cgroup, which pause and monitor leave at once, and read them again and again.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command podrun runs Kubernetes Pod manifests on one Linux machine.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"podrun/cli"
)

func main() {
	// Not the caller's: users other than root pass through cgroups, volumes and
	// images, and what they may not read is given a mode of its own.
	syscall.Umask(0o022)
	// No core: what a pod's Secrets hold passes through here.
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends the program
	os.Exit(cli.Run(ctx, os.Args, cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
