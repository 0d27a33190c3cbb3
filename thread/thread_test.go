package thread

import (
	"errors"
	"os"
	goruntime "runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests run on the main thread as far as they can, where Run has to leave it.
func init() { goruntime.LockOSThread() }

func TestRun(t *testing.T) {
	failed := errors.New("failed")
	for range 100 {
		var thread int
		if err := Run(func() error { thread = unix.Gettid(); return failed }); err != failed {
			t.Fatalf("got error %v", err)
		}
		if thread == unix.Getpid() {
			t.Fatal("f ran on the main thread")
		}
		waitForEnd(t, thread)
	}
}

func waitForEnd(t *testing.T, thread int) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat("/proc/self/task/" + strconv.Itoa(thread)); errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Since(start) > 10*time.Second {
			t.Fatalf("thread %d lives on", thread)
		}
	}
}
