package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The benchmark's own machine is a network and a mount namespace: the
// engines' bridges, firewall rules and mounts end with it.

const machineVariable = "_PODRUN_BENCH_MACHINE"

func onOwnMachine() bool { return os.Getenv(machineVariable) != "" }

// enterOwnMachine runs this program again, on a machine of its own, and reaps
// what daemons of the engines leave: podman waits until its conmon is reaped,
// and the first process of a container or a small machine may never do that.
func enterOwnMachine() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	// Ctrl-C reaches the child as well; it cleans up, and this process waits.
	signal.Ignore(unix.SIGINT)
	child, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), machineVariable+"=yes"),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS},
	})
	if err != nil {
		return fmt.Errorf("start on a machine of its own: %w", err)
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return os.NewSyscallError("wait4", err)
		case pid == child.Pid && !status.Exited():
			return fmt.Errorf("the benchmark was ended by signal %v", status.Signal())
		case pid == child.Pid:
			os.Exit(status.ExitStatus()) // the child has said why
		}
	}
}

func prepareMachine() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("leave the machine's mounts: %w", os.NewSyscallError("mount", err))
	}
	// podman keeps its locks in /dev/shm, under one name for all roots.
	if err := unix.Mount("shm", "/dev/shm", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", os.NewSyscallError("mount", err))
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// machineLine describes the machine in one line.
func machineLine() string {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return "unknown machine"
	}
	version := "v1"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		version = "v2"
	}
	return fmt.Sprintf("Linux %s, %d × %s, cgroup %s",
		unix.ByteSliceToString(uts.Release[:]), goruntime.NumCPU(), processorModel(), version)
}

func processorModel() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "processor"
	}
	for line := range strings.Lines(string(data)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "processor"
}

// removeCgroups removes an empty cgroup and those below it from every hierarchy.
func removeCgroups(name string) {
	tops, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
	for _, top := range append(tops, "/sys/fs/cgroup/"+name) {
		var dirs []string
		filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			os.Remove(dirs[i]) // stays while somebody else's process is in it
		}
	}
}
