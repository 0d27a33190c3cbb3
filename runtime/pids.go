package runtime

import (
	"os"
	"strconv"
	"strings"
)

// PIDs is the default for the number of processes and threads of one pod: half
// of what the machine can have, so that no pod takes the last one. The kubelet's
// own default (podPidsLimit) is no limit. 0 is none.
func PIDs() int64 {
	var least int64
	for _, name := range []string{"/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"} {
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil && (least == 0 || n < least) {
			least = n
		}
	}
	return least / 2
}
