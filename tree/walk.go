package tree

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// errMoved is what a walk ends with that cannot find its way back.
var errMoved = errors.New("a directory was moved meanwhile: repeat")

// walker goes through a tree of any depth with few descriptors. Those of the upper
// levels are closed on the way down. On the way up "..", which a rename may lead
// elsewhere, counts only if it is the directory that the walk came through.
type walker struct {
	base  string // of the paths in complaints
	enter func(dir int, stat *unix.Stat_t) (subdirectories []string, err error)
	leave func(dir int) error // after all that is in the directory
	stack []visit
}

// visit is a directory that the walk is in.
type visit struct {
	fd       int // -1 while closed
	name     string
	dev, ino uint64
	left     []string // subdirectories to go to
}

// walk goes through the directory, and closes it.
func (w *walker) walk(fd int) error {
	defer func() {
		for _, v := range w.stack {
			w.close(v.fd)
		}
	}()
	if err := w.push(fd, ""); err != nil {
		return err
	}
	for len(w.stack) > 0 {
		top := &w.stack[len(w.stack)-1]
		if len(top.left) == 0 {
			if err := w.pop(); err != nil {
				return err
			}
			continue
		}
		name := top.left[0]
		top.left = top.left[1:]
		fd, err := unix.Openat(top.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			continue // somebody has put something else in its place
		}
		if err != nil {
			return w.complaint("open", name, err)
		}
		if err := w.push(fd, name); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) push(fd int, name string) error {
	w.stack = append(w.stack, visit{fd: fd, name: name})
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return w.complaint("fstat", "", err)
	}
	left, err := w.enter(fd, &stat)
	if err != nil {
		return err
	}
	top := &w.stack[len(w.stack)-1]
	top.dev, top.ino, top.left = stat.Dev, stat.Ino, left
	if far := len(w.stack) - 1 - maxOpen; far >= 0 {
		w.close(w.stack[far].fd)
		w.stack[far].fd = -1
	}
	return nil
}

// pop goes back to the directory above.
func (w *walker) pop() error {
	top := w.stack[len(w.stack)-1]
	if w.leave != nil {
		if err := w.leave(top.fd); err != nil {
			return err
		}
	}
	if len(w.stack) > 1 {
		if err := w.reopen(&w.stack[len(w.stack)-2], top.fd); err != nil {
			return w.complaint("open", "..", err)
		}
	}
	w.stack = w.stack[:len(w.stack)-1]
	w.close(top.fd)
	return nil
}

func (w *walker) reopen(above *visit, below int) error {
	if above.fd >= 0 {
		return nil
	}
	fd, err := unix.Openat(below, "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var stat unix.Stat_t
	if err = unix.Fstat(fd, &stat); err == nil && (stat.Dev != above.dev || stat.Ino != above.ino) {
		err = errMoved
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	above.fd = fd
	return nil
}

func (w *walker) close(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}

// complaint names an entry of the directory that the walk is in, or that itself.
func (w *walker) complaint(op, name string, err error) error {
	path := w.base
	for _, v := range w.stack[1:] {
		if len(path) > maxShown {
			break
		}
		path += "/" + v.name
	}
	path = strings.TrimSuffix(path+"/"+name, "/")
	if len(path) > maxShown {
		path = path[:maxShown] + "..."
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}

// readEntries gives the names in the directory to each, some at a time: a
// directory may hold millions.
func (w *walker) readEntries(dir int, each func(name string) error) error {
	buffer := make([]byte, 16<<10)
	var names []string
	for {
		n, err := unix.ReadDirent(dir, buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.ENOENT) {
			return nil // somebody has removed it
		}
		if err != nil {
			return w.complaint("read", "", err)
		}
		if n <= 0 {
			return nil
		}
		_, _, names = unix.ParseDirent(buffer[:n], -1, names[:0])
		for _, name := range names {
			if err := each(name); err != nil {
				return err
			}
		}
	}
}
