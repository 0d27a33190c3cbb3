// Package kernel tells which Linux this is. What a version can do is known by
// those who ask.
package kernel

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// AtLeast tells whether this is Linux of the version, such as 6.3, or a later one.
func AtLeast(version string) bool {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return false
	}
	return atLeast(unix.ByteSliceToString(name.Release[:]), version)
}

// atLeast compares by the first two numbers. Every release is at least "".
func atLeast(release, version string) bool {
	have, want := numbers(release), numbers(version)
	return have[0] > want[0] || have[0] == want[0] && have[1] >= want[1]
}

func numbers(text string) (first [2]int) {
	parts := strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	for i := range min(len(parts), len(first)) {
		first[i], _ = strconv.Atoi(parts[i])
	}
	return first
}
