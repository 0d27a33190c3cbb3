package monitor

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// restAfter is how long a pod must be quiet before its monitor gives back the
// memory that bringing it up has taken.
const restAfter = 2 * time.Second

// rest makes an idle monitor small: the heap goes back to what lives, and the
// pages of the program that were mapped on the way up are mapped again only
// when they run. They stay in the page cache for the next pod.
func rest() {
	debug.FreeOSMemory()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		// Only code: it is never written to, so that nothing can be lost.
		if len(fields) < 6 || fields[1] != "r-xp" || !strings.HasPrefix(fields[5], "/") {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil {
			unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED)
		}
	}
}

// restLater calls rest once nothing has changed for a while.
func (m *monitor) restLater() {
	if m.resting == nil {
		m.resting = time.AfterFunc(restAfter, rest)
		return
	}
	m.resting.Reset(restAfter)
}
