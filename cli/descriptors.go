package cli

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// A command opens some dozens of files, more of them where it makes many pods at
// once. One that ran out of them half way could not even undo what it has done.
const (
	fewFiles    = 64
	usualFiles  = 1024
	raisedFiles = 1 << 16
)

// needDescriptors leaves a small limit of the caller's behind, or names it.
func needDescriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur >= usualFiles {
		return nil
	}
	raised := unix.Rlimit{Cur: raisedFiles, Max: max(limit.Max, raisedFiles)}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil || limit.Cur >= fewFiles {
		return nil
	}
	return fmt.Errorf("this process may open only %d files, and podrun needs %d at least: raise its limit with 'ulimit -n %d'", limit.Cur, fewFiles, usualFiles)
}
