package runtime

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// null is what a command without input reads: the container's own null device.
// The machine's would be a descriptor of a file of the machine in the container,
// whose root could change its mode through /proc/self/fd. libcontainer replaces
// it for a container's first process alone. Where the container has none, a pipe
// that is at its end has to do.
func (c *Container) null() (*os.File, error) {
	if f, err := openNull(c.pid); err == nil {
		return f, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return r, w.Close()
}

// openNull makes sure that it is the device before it is opened: what is at its
// place is the container's to choose, and other files would block, or do
// something.
func openNull(pid int) (*os.File, error) {
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	defer unix.Close(root)
	place, err := unix.Openat2(root, "dev/null", &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, os.NewSyscallError("openat2", err)
	}
	defer unix.Close(place)
	var st unix.Stat_t
	if err := unix.Fstat(place, &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3) {
		return nil, fmt.Errorf("open /dev/null of the container: it is another file")
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", place))
}
