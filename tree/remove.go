package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"podrun/step"
)

// Remove removes a directory of the host and all that it holds, whatever a
// container has put there: trees of any depth, attributes that forbid it. It
// crosses no mount and follows no link; nothing there is no error.
func Remove(path string) error {
	defer step.Change("remove tree")()
	parent, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
	}
	defer unix.Close(parent)
	r := remover{base: filepath.Dir(path)}
	r.entry(parent, filepath.Base(path))
	return r.err()
}

// RemoveEntry removes one entry of an open directory, as Remove does.
func RemoveEntry(dir *os.File, name string) error {
	defer step.Change("remove entry")()
	r := remover{base: dir.Name()}
	r.entry(int(dir.Fd()), name)
	return r.err()
}

const (
	maxOpen  = 64  // directories held open at once, whatever the depth of the tree
	maxTold  = 10  // leftovers that are named
	maxShown = 300 // bytes of a path in a complaint
)

// remover removes trees that containers made, by descriptor: names may be
// links, paths longer than PATH_MAX, files immutable.
type remover struct {
	base  string // of the paths in complaints
	stack []level
	moved int // directories taken out of a deep tree so far
	told  []error
	more  bool // than told
}

// level is a directory that is being emptied.
type level struct {
	fd   int
	name string
}

// entry removes one entry of the directory and reports whether it is gone.
func (r *remover) entry(dir int, name string) bool {
	op, err := "unlink", unlink(dir, name, 0)
	if errors.Is(err, unix.EISDIR) {
		if len(r.stack) < maxOpen {
			return r.directory(dir, name)
		}
		op, err = "rename", r.flatten(dir, name)
	}
	if err == nil || errors.Is(err, unix.ENOENT) {
		return true
	}
	r.tell(op, name, err)
	return false
}

// directory empties and removes a directory.
func (r *remover) directory(parent int, name string) bool {
	fd, err := OpenAt(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW,
		unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_XDEV)
	if errors.Is(err, unix.ENOENT) {
		return true
	}
	if errors.Is(err, unix.EXDEV) {
		err = unix.EBUSY // what other calls say of a mount point
	}
	if err != nil {
		r.tell("open", name, err)
		return false
	}
	defer unix.Close(fd)
	r.stack = append(r.stack, level{fd, name})
	err = r.empty(fd, func() error { return unlink(parent, name, unix.AT_REMOVEDIR) })
	r.stack = r.stack[:len(r.stack)-1]
	switch {
	case err == nil || errors.Is(err, unix.ENOENT):
		return true
	case !errors.Is(err, unix.ENOTEMPTY) || len(r.told) == 0:
		r.tell("rmdir", name, err)
	}
	return false
}

// empty removes the entries of a directory until done succeeds or a round has
// changed nothing. A round may miss entries: those that a deeper level moved
// here, or that a file system skips while it is being changed.
func (r *remover) empty(fd int, done func() error) error {
	for {
		before := r.moved
		removed, err := r.round(fd)
		if err != nil {
			return err
		}
		err = done()
		if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
			return err
		}
		if removed == 0 && r.moved == before {
			return unix.ENOTEMPTY
		}
	}
}

// round goes through the directory once and returns how many entries are gone.
func (r *remover) round(fd int) (removed int, err error) {
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return 0, err
	}
	buffer := make([]byte, 16<<10)
	var names []string
	for {
		n, err := unix.ReadDirent(fd, buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 || errors.Is(err, unix.ENOENT) {
			return removed, err
		}
		_, _, names = unix.ParseDirent(buffer[:n], -1, names[:0])
		for _, name := range names {
			if r.entry(fd, name) {
				removed++
			}
		}
	}
}

// flatten moves a directory that lies too deep up to the volume's root, where a
// later round finds it. Depth then costs neither descriptors nor a walk through
// "..", which a rename could lead elsewhere. The root is one level below the
// top: a project quota of the volume would forbid to leave it (EXDEV).
func (r *remover) flatten(dir int, name string) error {
	root := r.stack[1].fd
	for {
		r.moved++
		target := "..deep-" + strconv.Itoa(r.moved)
		err := unix.Renameat2(dir, name, root, target, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EPERM) && (clearAttributes(root) || release(dir, name)) {
			release(dir, name) // one attribute of the three may hide the others
			err = unix.Renameat2(dir, name, root, target, unix.RENAME_NOREPLACE)
		}
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
}

// tell records what stays, and why.
func (r *remover) tell(op, name string, err error) {
	names := make([]string, 0, len(r.stack)+2)
	names = append(names, r.base)
	for _, l := range r.stack {
		names = append(names, l.name)
	}
	path := strings.Join(append(names, name), "/")
	if len(path) > maxShown {
		path = path[:maxShown] + "..."
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		err = errno // a PathError knows the name only
	}
	told := error(&os.PathError{Op: op, Path: path, Err: err})
	if errors.Is(err, unix.EBUSY) {
		told = fmt.Errorf("%s is a mount point: unmount it and repeat", path)
	}
	for _, earlier := range r.told { // by an earlier round
		if earlier.Error() == told.Error() {
			return
		}
	}
	if len(r.told) == maxTold {
		r.more = true
		return
	}
	r.told = append(r.told, told)
}

func (r *remover) err() error {
	if r.more {
		return errors.Join(append(r.told, errors.New("and more"))...)
	}
	return errors.Join(r.told...)
}

// unlink is unlinkat(2), which it repeats once without the attributes that
// forbid it. Its error is a bare errno for the caller's PathError.
func unlink(dir int, name string, flags int) error {
	err := unix.Unlinkat(dir, name, flags)
	if errors.Is(err, unix.EPERM) && release(dir, name) {
		err = unix.Unlinkat(dir, name, flags)
	}
	return err
}

// release takes the immutable and append-only attributes, which a privileged
// container may have set, off the entry and the directory that holds it. It
// reports whether there were any. Only regular files and directories have them,
// and nothing else is opened: to open a device is to use it.
func release(dir int, name string) bool {
	released := clearAttributes(dir)
	path, err := OpenAt(dir, name, unix.O_PATH|unix.O_NOFOLLOW, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_XDEV)
	if err != nil {
		return released
	}
	defer unix.Close(path)
	var stat unix.Stat_t
	if err := unix.Fstat(path, &stat); err != nil {
		return released
	}
	if kind := stat.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return released
	}
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(path), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return released
	}
	defer unix.Close(fd)
	return clearAttributes(fd) || released
}

func clearAttributes(fd int) bool {
	const forbid = 0x10 | 0x20 // FS_IMMUTABLE_FL, FS_APPEND_FL (linux/fs.h)
	flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err != nil || flags&forbid == 0 {
		return false
	}
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags&^forbid)) == nil
}
