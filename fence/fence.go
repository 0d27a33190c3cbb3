// Package fence keeps what kernel tests make apart from the rest of the machine,
// and finds what is left of it. It runs no pods: ground does.
package fence

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Around runs the tests of a package named what with a directory of their own
// for temporary files, whose mounts can so be told from those of a user's pods,
// and wants that leftovers finds as much after them as before. It is called by
// TestMain and does not return.
func Around(m *testing.M, what string, leftovers func() []string) {
	needRoot(what)
	dir, err := temp(what)
	if err == nil {
		err = os.Setenv("TMPDIR", dir)
	}
	exitOn(err)
	before := leftovers()
	code := m.Run()
	if after := leftovers(); !reflect.DeepEqual(before, after) {
		fmt.Fprintf(os.Stderr, "left on the machine: %q, before the tests %q\n", after, before)
		code = 1
	} else {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// inside tells the process in the mount namespace that OwnMounts makes.
const inside = "PODRUN_FENCE_INSIDE"

// OwnMounts runs the tests of a package named what in a mount namespace of their
// own, and finds from the outside that no file and no mount is left. It is called
// by TestMain and does not return.
func OwnMounts(m *testing.M, what string) {
	needRoot(what)
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	dir, err := temp(what)
	exitOn(err)
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1", "TMPDIR="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if err := cmd.Run(); err != nil {
		exitOn(errors.Join(err, os.RemoveAll(dir)))
	}
	if mounts := Mounts(dir); len(mounts) > 0 {
		exitOn(fmt.Errorf("the tests left mounts in the machine's table: %q", mounts))
	}
	if err := os.Remove(dir); err != nil {
		exitOn(fmt.Errorf("the tests left files: %w", err))
	}
	os.Exit(0)
}

func needRoot(what string) {
	if os.Geteuid() != 0 {
		exitOn(fmt.Errorf("the tests of %s change this machine's kernel: run them as root", what))
	}
}

func temp(what string) (string, error) { return os.MkdirTemp("", "podrun-"+what+"-") }

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Mounts returns the mount points below a path, in the mount namespace of the
// calling thread.
func Mounts(below string) []string {
	table, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !strings.HasPrefix(m.Mountpoint, below), false
	})
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for _, m := range table {
		found = append(found, m.Mountpoint)
	}
	return found
}

// Children names the children of this process.
func Children() []string {
	files, _ := filepath.Glob("/proc/self/task/*/children")
	var found []string
	for _, file := range files {
		data, _ := os.ReadFile(file)
		for _, pid := range strings.Fields(string(data)) {
			title, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			found = append(found, fmt.Sprintf("process %s: %.60q", pid, title))
		}
	}
	return found
}

// Files names what this process has open, but for the descriptors of the Go
// runtime (epoll and the like), and the files of the given names and below.
func Files(except ...string) []string {
	files, _ := filepath.Glob("/proc/self/fd/*")
	var found []string
next:
	for _, file := range files {
		target, err := os.Readlink(file)
		if err != nil || strings.HasPrefix(target, "anon_inode:[") {
			continue
		}
		for _, name := range except {
			if target == name || strings.HasPrefix(target, name+"/") {
				continue next
			}
		}
		found = append(found, target)
	}
	return found
}
