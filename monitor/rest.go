package monitor

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// restAfter is how long a pod must be quiet before its monitor gives back the
	// memory that bringing it up has taken.
	restAfter = 2 * time.Second
	// upMemory is how many bytes bringing a pod up may take before garbage is collected.
	upMemory = 64 << 20
	// restGrowth is how many bytes of garbage are worth a collection.
	restGrowth = 256 << 10
)

// collectLater puts the collection of garbage off until the first rest, which comes
// soon. With each one the runtime makes tables for more of the sizes that objects have,
// of some kilobytes, and keeps them for ever (mspanset.go).
func collectLater() {
	debug.SetMemoryLimit(upMemory)
	debug.SetGCPercent(-1)
}

// rested is what the process had of its own when it was last at rest, in bytes.
var rested struct {
	sync.Mutex
	bytes int64
}

// rest makes an idle monitor small: the heap goes back to what lives, where that is
// worth it, and the pages of the program that were mapped on the way are mapped again
// only when they are used. They stay in the page cache for the next pod.
func rest() {
	rested.Lock()
	defer rested.Unlock()
	regions := program() // first: reading it makes garbage
	if anonymous() > rested.bytes+restGrowth {
		debug.FreeOSMemory()
		debug.SetGCPercent(100)
		debug.SetMemoryLimit(math.MaxInt64)
		rested.bytes = anonymous()
	}
	drop(regions) // last: a collection uses much of the program
}

// anonymous is how much memory of this process is of no file (statm, proc(5)).
func anonymous() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages := func(field string) int64 {
		n, _ := strconv.ParseInt(field, 10, 64)
		return n * int64(os.Getpagesize())
	}
	fields := strings.Fields(string(text))
	return pages(fields[1]) - pages(fields[2]) // resident, and shared with files
}

// program is what can be dropped of the program's mappings.
var program = sync.OnceValue(func() []region {
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return nil
	}
	return untouched(string(smaps))
})

func drop(regions []region) {
	for _, r := range regions {
		unix.Syscall(unix.SYS_MADVISE, r.start, r.end-r.start, unix.MADV_DONTNEED)
	}
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

// resting is a goroutine that never ends: what its end uses of the program would
// stay mapped after each rest.
var resting = sync.OnceValue(func() *time.Timer {
	quiet := time.NewTimer(restAfter)
	go func() {
		for range quiet.C {
			rest()
		}
	}()
	return quiet
})

// restLater calls rest once nothing has changed for a while.
func restLater() { resting().Reset(restAfter) }

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
