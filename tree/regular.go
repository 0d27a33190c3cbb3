package tree

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrNotRegular is returned where a regular file was wanted.
var ErrNotRegular = errors.New("it is not a regular file")

// OpenRegular opens a regular file beneath the directory for reading. Whoever
// filled the directory may have put anything there: to open a device is to use it
// (a watchdog starts, a tape rewinds), and a pipe would be waited for
// (CVE-2024-9676). So the file is looked at before it is opened for more than its name.
func OpenRegular(dir int, name string, resolve uint64) (*os.File, error) {
	at, err := OpenAt(dir, name, unix.O_PATH, resolve)
	if err != nil {
		return nil, err
	}
	defer unix.Close(at)
	var stat unix.Stat_t
	if err := unix.Fstat(at, &stat); err != nil {
		return nil, &os.PathError{Op: "fstat", Path: name, Err: err}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, &os.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	// The link in /proc leads to that very file, whatever has its name now.
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(at), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
