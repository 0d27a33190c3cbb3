package main

import (
	"os"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

func init() { commands["sharedmount"] = sharedMount }

// sharedMount DIR mounts a file system that shares mounts, as systemd makes all
// of a machine's, until the script ends.
func sharedMount(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "sharedmount DIR")
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(os.NewSyscallError("mount", unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=755")))
	ts.Defer(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	ts.Check(os.NewSyscallError("mount", unix.Mount("", dir, "", unix.MS_SHARED, "")))
}
