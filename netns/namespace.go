package netns

import (
	"errors"
	"fmt"
	"os"
	goruntime "runtime"

	"golang.org/x/sys/unix"
)

// InNamespace runs f on a thread inside the network namespace at path and
// returns its error. Sockets that f opens and what it reads below /proc/net (as
// /proc/thread-self/net) or /proc/sys/net belong to that namespace; goroutines
// that f starts run outside it. The calling goroutine stays where it is.
func InNamespace(path string, f func() error) error {
	target, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer target.Close()
	return inside(target, f)
}

// inside is InNamespace for an open namespace. The work has a goroutine of its
// own, because a thread that cannot be switched back must not serve anyone else:
// its goroutine ends without unlocking it, and the Go runtime ends the thread.
func inside(target *os.File, f func() error) error {
	done := make(chan error, 1)
	go func() {
		defer close(done) // also when f ends its goroutine
		goruntime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			done <- fmt.Errorf("open network namespace: %w", err)
			return
		}
		defer home.Close()
		if err := setns(target); err != nil {
			goruntime.UnlockOSThread()
			done <- fmt.Errorf("enter network namespace %s: %w", target.Name(), err)
			return
		}
		defer func() {
			if setns(home) == nil {
				goruntime.UnlockOSThread()
			}
		}()
		done <- f()
	}()
	err, ended := <-done
	if !ended {
		return errors.New("the work inside the network namespace ended its goroutine")
	}
	return err
}

func setns(ns *os.File) error {
	return os.NewSyscallError("setns", unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET))
}
