package image

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// The inventory of a layer is a text with a line for each of its files, in the
// order of a walk that sorts each directory: the quoted path, then the fields of
// fileFields. It is written when the layer is unpacked, and is what the layer is
// held against later: the archive itself is not kept.
//
// It is taken by reading what was just written: that is in the page cache, and is
// read while the kernel writes it to the disk, which the layer waits for in any
// case (see Store.commit). Contents have two checksums instead of a digest, at a
// tenth of the time: they tell damage. Who could forge a file here is root, and
// could forge its digest too.

// fileFields are the words after the path. A file that has no such thing has a dash.
var fileFields = []string{"type", "mode", "owner", "size", "time", "device", "link", "attributes", "content"}

var timeField = slices.Index(fileFields, "time")

// walker walks a layer. Nothing but regular files and directories is opened, and
// no link is followed: a layer holds whatever its maker wanted.
type walker struct {
	// emit is given each file in order: its path, "." for the layer's root, and its fields.
	emit func(path, fields string) error
	// links are the paths of files that have several, by their inode.
	links map[uint64]string
}

// walk calls emit for every file of the layer in the directory dir.
func walk(dir string, emit func(path, fields string) error) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	w := walker{emit: emit, links: map[uint64]string{}}
	root := found{name: ".", path: "."}
	if err := unix.Fstat(fd, &root.stat); err != nil {
		unix.Close(fd)
		return os.NewSyscallError("fstat", err)
	}
	err = root.read(fd)
	if err == nil {
		err = emit(root.path, root.fields())
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	return w.directory(fd, ".")
}

// walkChunk bounds the files of one directory that are held in memory at once.
const walkChunk = 1024

// directory walks what is in a directory, and closes it.
func (w *walker) directory(fd int, at string) error {
	dir := os.NewFile(uintptr(fd), at)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("read directory %s: %w", at, err)
	}
	slices.Sort(names)
	for chunk := range slices.Chunk(names, walkChunk) {
		files, err := w.look(fd, at, chunk)
		if err != nil {
			return err
		}
		for i := range files {
			if err := w.file(fd, &files[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// look reads the files of one directory, as many at once as there are processors.
func (w *walker) look(fd int, at string, names []string) ([]found, error) {
	files := make([]found, len(names))
	var g errgroup.Group
	g.SetLimit(goruntime.NumCPU())
	for i, name := range names {
		f := &files[i]
		f.name, f.path = name, path.Join(at, name)
		if err := unix.Fstatat(fd, name, &f.stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, errors.Join(&os.PathError{Op: "fstatat", Path: f.path, Err: err}, g.Wait())
		}
		if first, known := w.links[f.stat.Ino]; known && f.stat.Nlink > 1 {
			f.sameAs = first
			continue
		}
		if f.stat.Nlink > 1 && f.stat.Mode&unix.S_IFMT != unix.S_IFDIR {
			w.links[f.stat.Ino] = f.path
		}
		g.Go(func() error { return f.read(fd) })
	}
	return files, g.Wait()
}

func (w *walker) file(parent int, f *found) error {
	if err := w.emit(f.path, f.fields()); err != nil {
		return err
	}
	if f.stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	fd, err := unix.Openat(parent, f.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: f.path, Err: err}
	}
	return w.directory(fd, f.path)
}

// found is a file that a walk has come to.
type found struct {
	name, path string
	stat       unix.Stat_t
	sameAs     string // the path under which the walk has met the file before
	target     string // of a symbolic link
	attributes string // digest of the extended attributes
	content    string // checksums of a regular file
}

// read reads what stat(2) does not tell.
func (f *found) read(parent int) (err error) {
	// One of a link itself: there is no llistxattrat(2) before Linux 6.13.
	byName := "/proc/self/fd/" + strconv.Itoa(parent) + "/" + f.name
	if f.attributes, err = digestOfXattrs(byName); err != nil {
		return fmt.Errorf("read attributes of %s: %w", f.path, err)
	}
	switch f.stat.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		f.target, err = os.Readlink(byName)
	case unix.S_IFREG:
		f.content, err = checksumsOfFile(parent, f.name)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", f.path, err)
	}
	return nil
}

// readBuffers are what files are read through: they are many and small.
var readBuffers = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksumsOfFile are two of 32 bits by different polynomials, which processors
// compute faster than memory is read.
func checksumsOfFile(parent int, name string) (string, error) {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOATIME|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", os.NewSyscallError("openat", err)
	}
	defer unix.Close(fd)
	buffer := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buffer)
	var c, ieee uint32
	for {
		n, err := unix.Read(fd, *buffer)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return "", os.NewSyscallError("read", err)
		case n == 0:
			return fmt.Sprintf("%08x%08x", c, ieee), nil
		default:
			c = crc32.Update(c, castagnoli, (*buffer)[:n])
			ieee = crc32.Update(ieee, crc32.IEEETable, (*buffer)[:n])
		}
	}
}

// digestOfXattrs is a dash where there are none.
func digestOfXattrs(path string) (string, error) {
	n, err := unix.Llistxattr(path, nil)
	if n == 0 && err == nil || errors.Is(err, unix.ENOTSUP) {
		return "-", nil
	}
	if err != nil {
		return "", os.NewSyscallError("llistxattr", err)
	}
	list := make([]byte, n)
	if n, err = unix.Llistxattr(path, list); err != nil {
		return "", os.NewSyscallError("llistxattr", err)
	}
	names := bytes.Split(bytes.TrimSuffix(list[:n], []byte{0}), []byte{0})
	slices.SortFunc(names, bytes.Compare)
	sum := sha256.New()
	value := make([]byte, 64<<10) // the kernel's limit (xattr(7))
	for _, name := range names {
		n, err := unix.Lgetxattr(path, string(name), value)
		if err != nil {
			return "", os.NewSyscallError("lgetxattr", err)
		}
		fmt.Fprintf(sum, "%q %q\n", name, value[:n])
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:16]), nil
}

// fields are in the order of fileFields. A directory's size is the file system's affair.
func (f *found) fields() string {
	st := &f.stat
	kind, size, device, link, content := kindOf(st.Mode), "-", "-", "-", "-"
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		size, content = strconv.FormatInt(st.Size, 10), f.content
	case unix.S_IFCHR, unix.S_IFBLK:
		device = fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	case unix.S_IFLNK:
		link = strconv.Quote(f.target)
	}
	attributes := f.attributes
	if f.sameAs != "" {
		link, attributes, content = "="+strconv.Quote(f.sameAs), "-", "-"
	}
	mtime := fmt.Sprintf("%d.%09d", st.Mtim.Sec, st.Mtim.Nsec)
	return strings.Join([]string{
		kind, fmt.Sprintf("%04o", st.Mode&0o7777), fmt.Sprintf("%d:%d", st.Uid, st.Gid), size, mtime, device,
		strings.ReplaceAll(link, " ", `\x20`), attributes, content,
	}, " ")
}

func kindOf(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "link"
	case unix.S_IFCHR:
		return "char"
	case unix.S_IFBLK:
		return "block"
	case unix.S_IFIFO:
		return "fifo"
	}
	return "socket"
}

// line is a file of an inventory as it is written.
func line(path, fields string) string { return strconv.Quote(path) + " " + fields + "\n" }
