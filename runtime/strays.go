package runtime

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// libcontainer forgets the helpers of an exec that the end of the container
// interrupts. They stay zombies of this process; and one that is already in the
// container's PID namespace keeps the namespace's first process, whose exit
// everybody waits for, from ending: zap_pid_ns_processes in the kernel waits
// until all others are reaped.

// Helpers of an interrupted exec are killed by the kernel, which takes a moment.
const (
	strayTries = 10
	strayPause = 2 * time.Millisecond
)

// firsts are the first processes of containers that this process made. In a PID
// namespace that is shared their numbers there do not tell.
var firsts sync.Map

// reapStrays reaps the helpers that a failed exec has left.
func reapStrays() {
	for range strayTries {
		for _, pid := range children() {
			if _, first := firsts.Load(pid); !first && isStray(pid) {
				unix.Wait4(pid, nil, unix.WNOHANG, nil)
			}
		}
		time.Sleep(strayPause)
	}
}

// children are the direct ones of this process.
func children() []int {
	var pids []int
	files, _ := filepath.Glob("/proc/self/task/*/children")
	for _, f := range files {
		data, _ := os.ReadFile(f)
		for _, word := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// isStray tells a dead helper from the first process of a container, which is
// number 1 in its namespace and whose exit is read by Watch, and from a command,
// which has a name of its own.
func isStray(pid int) bool {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return false
	}
	field := func(name string) []string {
		_, rest, _ := strings.Cut(string(status), "\n"+name+":")
		line, _, _ := strings.Cut(rest, "\n")
		return strings.Fields(line)
	}
	state, numbers := field("State"), field("NSpid")
	// The first of the three, runc:[0:PARENT], is always waited for: taken away,
	// it would fail another exec that is just starting.
	helper := strings.HasPrefix(string(status), "Name:\trunc:[") && !strings.HasPrefix(string(status), "Name:\trunc:[0")
	first := len(numbers) > 1 && numbers[len(numbers)-1] == "1"
	return helper && !first && len(state) > 0 && state[0] == "Z"
}
