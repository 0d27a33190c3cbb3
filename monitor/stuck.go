package monitor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"podrun/sandbox"
	"podrun/state"
)

// Stuck names the processes of a pod that were killed and do not end, and what
// they wait for: a dead disk or file server, or who has frozen a cgroup above the
// pod's. Nothing but their end lets the pod end. The texts are by the processes'
// ids: one that is about to end may be among them, so that it takes a second look.
func Stuck(s *state.Store, uid string) map[int]string {
	list := map[int]string{}
	pod := sandbox.PodPath(s.Instance, uid)
	for _, p := range sandbox.ProcessesBelow(pod) {
		dir := filepath.Join("/proc", strconv.Itoa(p.PID))
		status, err := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil || !killedAndAlive(string(status)) {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(string(status), "Name:\t"), "\n")
		text := fmt.Sprintf("process %d (%s)", p.PID, name)
		id, _, _ := strings.Cut(strings.Trim(strings.TrimPrefix(p.Group, pod), "/"), "/")
		if dot := strings.LastIndex(id, "."); dot > 0 { // <name>.<attempt>
			text += " of container " + id[:dot]
		}
		list[p.PID] = text + " was killed and does not end: " + waitsFor(dir)
	}
	return list
}

// killedAndAlive tells from /proc/PID/status whether a SIGKILL has come and has
// not been followed.
func killedAndAlive(status string) bool {
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); name {
		case "State":
			if strings.HasPrefix(value, "Z") || strings.HasPrefix(value, "X") {
				return false
			}
		case "SigPnd", "ShdPnd":
			pending, err := strconv.ParseUint(value, 16, 64)
			if err == nil && pending&(1<<(unix.SIGKILL-1)) != 0 {
				return true
			}
		}
	}
	return false
}

// waitsFor is where in the kernel the process sleeps.
func waitsFor(dir string) string {
	where, err := os.ReadFile(filepath.Join(dir, "wchan"))
	switch function := strings.TrimSpace(string(where)); {
	case function == "__refrigerator":
		return "a cgroup above the pod's is frozen"
	case err == nil && function != "" && function != "0":
		return fmt.Sprintf("it waits in the kernel, in %s (a dead disk or file server?)", function)
	}
	return "it waits in the kernel (a dead disk or file server?)"
}
