package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// partFormat is the time in the name of an old part, as the kubelet writes it, but in UTC: local time would repeat an
// hour every year, and names must sort by age.
const partFormat = "20060102-150405"

// part is the name of a file of a log, taken apart.
type part struct {
	name    string
	attempt int
	stamp   int64 // seconds since 1970; 0 for the current file
	zipped  bool
}

// Path returns the path of an attempt's current log in a container's directory.
func Path(directory string, attempt int) string {
	return filepath.Join(directory, strconv.Itoa(attempt)+".log")
}

// partPath returns the path of an old part of the log at path.
func partPath(path string, stamp int64) string {
	return path + "." + time.Unix(stamp, 0).UTC().Format(partFormat)
}

// parseName takes the name of a file apart. ok is false for the names of other files, temporary ones among them.
func parseName(name string) (p part, ok bool) {
	p.name = name
	digits, rest, found := strings.Cut(name, ".log")
	if !found || digits == "" || digits[0] == '+' || digits[0] == '-' {
		return part{}, false
	}
	var err error
	if p.attempt, err = strconv.Atoi(digits); err != nil || strconv.Itoa(p.attempt) != digits {
		return part{}, false
	}
	if rest == "" {
		return p, true
	}
	rest, p.zipped = strings.CutSuffix(rest, ".gz")
	at, err := time.Parse("."+partFormat, rest)
	if err != nil || at.Unix() <= 0 || at.Format("."+partFormat) != rest {
		return part{}, false
	}
	p.stamp = at.Unix()
	return p, true
}

// oldParts returns the old parts of the log current, <n>.log, the oldest first. A part that is there with and without
// .gz is named once, without: it was not removed yet after it was compressed, or is being compressed.
func oldParts(directory, current string) ([]part, error) {
	names, err := readNames(directory)
	if err != nil {
		return nil, err
	}
	var old []part
	for _, name := range names {
		if !strings.HasPrefix(name, current+".") {
			continue
		}
		if p, ok := parseName(name); ok {
			old = append(old, p)
		}
	}
	slices.SortFunc(old, func(a, b part) int {
		if a.stamp != b.stamp {
			return int(a.stamp - b.stamp)
		}
		return len(a.name) - len(b.name)
	})
	return slices.CompactFunc(old, func(a, b part) bool { return a.stamp == b.stamp }), nil
}

// newestAttempt returns the last attempt that has a log in the directory, or -1.
func newestAttempt(directory string) (int, error) {
	names, err := readNames(directory)
	if err != nil {
		return -1, err
	}
	newest := -1
	for _, name := range names {
		if p, ok := parseName(name); ok {
			newest = max(newest, p.attempt)
		}
	}
	return newest, nil
}

// readNames returns the names in a directory, none if it is not there.
func readNames(directory string) ([]string, error) {
	d, err := os.Open(directory)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	return names, nil
}
