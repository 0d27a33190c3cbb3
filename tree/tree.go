// Package tree reaches directory trees of the host that containers write to, while
// they may change them: it removes, measures and hands them to a group. Names in
// such a tree may be links that lead anywhere, paths longer than PATH_MAX or files
// that forbid to be removed; so everything is opened from a descriptor of what is
// above it and no link is followed (CVE-2017-1002101, CVE-2021-25741).
//
// What a tree is for, and when what is done to it, is left to the rooms above.
package tree

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// OpenAt opens name beneath the directory. The kernel answers EAGAIN when
// something was renamed or mounted while it looked at "..": it could not tell
// whether the result is beneath. That passes, unless someone does nothing else.
func OpenAt(dir int, name string, flags, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve}
	for tries := 0; ; tries++ {
		fd, err := unix.Openat2(dir, name, &how)
		if err == nil {
			return fd, nil
		}
		if !errors.Is(err, unix.EINTR) && (!errors.Is(err, unix.EAGAIN) || tries >= 1000) {
			return -1, &os.PathError{Op: "openat2", Path: name, Err: err}
		}
	}
}
