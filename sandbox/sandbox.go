// Package sandbox owns what the containers of one pod share: the pause
// process, the namespaces that it holds, the descriptors that it keeps and the
// pod's cgroups. Images, containers and restarts are left to the rooms above
// and beside it.
package sandbox

/*
#cgo CFLAGS: -Wall -Wextra -O2
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"podrun/step"
	"podrun/thread"
)

// Title is how the pause process of a pod shows in ps(1), and how the holder
// of a port is named.
func Title(namespace, name string) string { return "podrun: pod " + namespace + "/" + name }

// PauseDied is the signal that the monitor gets when its pause has died.
const PauseDied = unix.SIGUSR1

// Config is what a new sandbox is made of. Start takes copies of the files.
type Config struct {
	Title       string
	Hostname    string // of the pod; empty leaves the machine's
	HostNetwork bool
	HostIPC     bool
	Leaf        *Cgroup  // where pause and monitor live
	Users       *Users   // of a user namespace of the pod's own, or nil
	Lock        *os.File // the pod's lock, which pause holds from now on
	Control     *os.File // the listening control socket
	Log         *os.File // what the monitor writes to its standard error
	Monitor     []string // the monitor's argv
	Env         []string // the monitor's environment, nothing else of the caller's
}

// Pause is a pause process that this process started.
type Pause struct {
	pid    int
	failed chan error
}

// pauseSteps names the steps of pause.c by their exit codes.
var pauseSteps = map[int]string{
	10: "leave the caller's directory",
	11: "join the cgroup of the sandbox",
	12: "open the machine's namespaces",
	13: "make the pod's namespaces",
	14: "make the pod's mounts a slave of the machine's",
	15: "set up signals",
	16: "make the monitor's socket",
	17: "fork the monitor",
	18: "allocate memory",
	19: "set the hostname",
	22: "make a user namespace (is user.max_user_namespaces 0?)",
	23: "map the ids of the pod's user namespace",
	24: "make the pod's namespaces inside its user namespace",
}

// Start starts the pause process, which makes the namespaces and starts the
// monitor under itself. It returns as soon as pause is executed; what goes
// wrong later comes from Failed.
func Start(c Config) (*Pause, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	flags := unix.CLONE_NEWNS | unix.CLONE_NEWUTS
	if !c.HostIPC {
		flags |= unix.CLONE_NEWIPC
	}
	if !c.HostNetwork {
		flags |= unix.CLONE_NEWNET
	}
	args := []string{c.Title}
	attr := &syscall.SysProcAttr{Setsid: true}
	leaf, err := c.Leaf.join(attr)
	if err != nil {
		return nil, err
	}
	if leaf != nil {
		defer leaf.Close()
	} else {
		args = append(args, c.Leaf.procs()...)
	}
	env := append([]string{"_PODRUN_PAUSE=" + strconv.FormatInt(int64(flags), 16)}, c.Env...)
	if c.Hostname != "" {
		env = append(env, "_PODRUN_HOSTNAME="+c.Hostname)
	}
	files := []*os.File{c.Lock, c.Control}
	if c.Users != nil {
		files = append(files, c.Users.reserved)
		env = append(env, "_PODRUN_USERS="+strconv.Itoa(c.Users.First))
	}
	cmd := exec.Cmd{
		Path:        "/proc/self/exe",
		Args:        append(append(args, "--"), c.Monitor...),
		Env:         env,
		Dir:         "/",
		Stdin:       null,
		Stdout:      null,
		Stderr:      c.Log,
		ExtraFiles:  files,
		SysProcAttr: attr,
	}
	defer step.Change("start pause")()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the pause process: %w", err)
	}
	p := &Pause{pid: cmd.Process.Pid, failed: make(chan error, 1)}
	go func() { p.failed <- explain(cmd.Wait()) }()
	return p, nil
}

// Failed delivers one error when the pause process has ended, nil where it was
// asked to.
func (p *Pause) Failed() <-chan error { return p.failed }

func explain(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if step, ok := pauseSteps[exit.ExitCode()]; ok {
		return fmt.Errorf("the pause process could not %s", step)
	}
	return fmt.Errorf("the pause process ended: %s", strings.ToLower(exit.String()))
}

// NamespacePath is where the namespace of the given kind (net, ipc, uts, mnt) of
// the sandbox whose pause process has the given pid can be joined.
func NamespacePath(pause int, kind string) string {
	return fmt.Sprintf("/proc/%d/ns/%s", pause, kind)
}

// InMounts calls f on a thread that is in the mount namespace of the given
// file, so that a process which f starts is in it too. The thread ends with f.
func InMounts(ns *os.File, f func() error) error {
	return thread.Run(func() error {
		// A thread that shares its root and working directory cannot change
		// its mount namespace (setns(2)).
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
			return os.NewSyscallError("setns", err)
		}
		return f()
	})
}
