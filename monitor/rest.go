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
// when they are used. They stay in the page cache for the next pod.
func rest() {
	if smaps, err := os.ReadFile("/proc/self/smaps"); err == nil {
		for _, r := range untouched(string(smaps)) {
			unix.Syscall(unix.SYS_MADVISE, r.start, r.end-r.start, unix.MADV_DONTNEED)
		}
	}
	debug.FreeOSMemory()
}

// region is a range of addresses.
type region struct{ start, end uintptr }

// untouched are the mappings of files (smaps, proc(5)) that cannot be written to
// and were not, before they became so: dropping their pages loses nothing.
func untouched(smaps string) []region {
	var list []region
	var last *region // the mapping that the lines are of, if it is of a file
	for line := range strings.Lines(smaps) {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 2:
		case !strings.HasSuffix(fields[0], ":"):
			last = nil
			if len(fields) == 6 && strings.HasPrefix(fields[5], "/") && !strings.Contains(fields[1], "w") {
				last = parseRegion(fields[0])
			}
		case fields[0] == "Anonymous:" && fields[1] == "0" && last != nil:
			list = append(list, *last)
		}
	}
	return list
}

func parseRegion(text string) *region {
	from, to, _ := strings.Cut(text, "-")
	start, err1 := strconv.ParseUint(from, 16, 64)
	end, err2 := strconv.ParseUint(to, 16, 64)
	if err1 != nil || err2 != nil {
		return nil
	}
	return &region{uintptr(start), uintptr(end)}
}

// restLater calls rest once nothing has changed for a while.
func (m *monitor) restLater() {
	if m.resting == nil {
		m.resting = time.AfterFunc(restAfter, rest)
		return
	}
	m.resting.Reset(restAfter)
}

// The monitor's log holds what went wrong lately.
const (
	logLimit = 1 << 20
	logKept  = 128 << 10
)

// trimLog cuts the log, which is open for appending, to its end when it has
// grown too long.
func trimLog(log *os.File, path string) {
	var info unix.Stat_t
	if unix.Fstat(int(log.Fd()), &info) != nil || info.Mode&unix.S_IFMT != unix.S_IFREG || info.Size < logLimit {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	end := make([]byte, logKept)
	n, err := f.ReadAt(end, info.Size-logKept)
	if err != nil {
		return
	}
	_, whole, _ := strings.Cut(string(end[:n]), "\n")
	if log.Truncate(0) == nil {
		log.WriteString(whole)
	}
}
