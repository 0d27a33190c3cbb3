// Package thread runs what changes its thread for good: its namespaces, its
// root, its directory. It owns the threads' ends and nothing of what is done on
// them.
package thread

import (
	goruntime "runtime"

	"golang.org/x/sys/unix"
)

// Run calls f on a thread that ends afterwards, since what f does to it must not
// serve others. It is never the main thread, which does not end, and is what
// /proc/self shows of the process.
func Run(f func() error) error {
	result := make(chan error, 1)
	go func() {
		goruntime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			// While this one keeps the main thread busy, the next is on another.
			defer goruntime.UnlockOSThread()
			result <- Run(f)
			return
		}
		result <- f()
	}()
	return <-result
}
