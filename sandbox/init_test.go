package sandbox

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestInitEndsUnkept: nobody knows of the process before pause has it, so that it
// must not outlive the one that started it.
func TestInitEndsUnkept(t *testing.T) {
	b := newBox(t, nil)
	pause := b.pause.pid
	soon(t, "pause has its namespaces", func() bool { return b.ask("facts").Facts.PID != 0 })
	first, err := StartInit(pause, nil, t.TempDir())
	must(t, err)
	if got := procField(t, first.PID, "NSpid"); got != fmt.Sprintf("%d\t1", first.PID) {
		t.Errorf("its numbers are %q, want %d and 1", got, first.PID)
	}
	for _, kind := range []string{"net", "ipc", "uts"} {
		if got, want := readlink(t, NamespacePath(first.PID, kind)), readlink(t, NamespacePath(pause, kind)); got != want {
			t.Errorf("%s: got %s, want pause's %s", kind, got, want)
		}
	}
	soon(t, "it is nobody", func() bool { return procField(t, first.PID, "Uid") == "65535\t65535\t65535\t65535" })
	found, err := FoundInit(first.pidfd)
	if err != nil || found.PID != first.PID {
		t.Errorf("found again: got %+v (%v), want %d", found, err, first.PID)
	}
	must(t, first.line.Close())
	must(t, first.Wait())
	if _, err := FoundInit(first.pidfd); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("after its end: got %v", err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(first.PID, &status, 0, nil); err != nil || status.ExitStatus() != 16 {
		t.Errorf("it ended with %d (%v), want 16", status.ExitStatus(), err)
	}
	must(t, first.pidfd.Close())
}
