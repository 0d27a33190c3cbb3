package logs

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Newest is the attempt whose log is the newest there is.
	Newest = -1
	// All is the Tail that leaves no line out.
	All = -1
)

// ReadOptions say what to read of a container's logs and how to print it.
type ReadOptions struct {
	Attempt    int       // restart count of the attempt to read, or Newest
	Tail       int       // print only so many last lines, or All
	Since      time.Time // print nothing older
	Streams    []Stream  // print only these; both if empty
	Timestamps bool      // begin each line with its time
	Prefix     string    // begin each line with this, before the time

	// Follow goes on at the end: to what is appended, across rotations and into the attempts that follow. It waits for a
	// log that is not there yet.
	Follow bool
	// Ended ends following, if set: it says that no attempt will print anything any more. It is asked when the log
	// does not grow, at most four times a second; what is in the log by then is still read.
	Ended func() bool
}

// Read prints the log in a container's directory to out. It covers the whole attempt, its old parts included, while a
// kubelet reads the current file only. Records that are parts of a line are joined; as with the kubelet, parts of stdout
// and stderr may alternate. A line that is no record is printed as it is. Each Write to out ends with a line, unless the
// line is longer than tens of KiB; memory stays bounded however long a line is.
//
// Without Follow a log that is not there is an error that wraps os.ErrNotExist. With Follow the end of ctx is no error.
func Read(ctx context.Context, directory string, o ReadOptions, out io.Writer) error {
	r := &reader{directory: directory, attempt: o.Attempt, o: o, printer: newPrinter(out, o)}
	if r.attempt == Newest {
		newest, err := newestAttempt(directory)
		if err != nil {
			return err
		}
		// Nothing is there yet: whatever comes first.
		r.attempt = max(newest, 0)
	}
	files, err := r.snapshot()
	if err != nil {
		return err
	}
	defer func() { closeFiles(files) }()
	if len(files) == 0 && !o.Follow {
		return fmt.Errorf("read log: %w", &os.PathError{Op: "open", Path: Path(directory, r.attempt), Err: os.ErrNotExist})
	}
	if files, err = skipOld(files, o); err != nil {
		return err
	}
	if !o.Follow {
		return errors.Join(r.printFiles(ctx, files), ctx.Err())
	}
	var last *file // which follow closes
	if n := len(files); n > 0 {
		files, last = files[:n-1], files[n-1]
	}
	err = r.printFiles(ctx, files)
	if r.printer.err != nil {
		last.close()
		return err
	}
	return errors.Join(err, r.follow(ctx, last))
}

// Shared returns a writer for several Reads at once, which does not mix what single Writes write.
func Shared(out io.Writer) io.Writer { return &sharedWriter{out: out} }

type sharedWriter struct {
	mu  sync.Mutex
	out io.Writer
}

func (s *sharedWriter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}

// reader is one Read under way.
type reader struct {
	directory string
	attempt   int // that is being read
	o         ReadOptions
	printer   *printer
	seen      int64 // stamp of the last old part that is not newer than what is being read
}

// file is an open file of a log.
type file struct {
	*os.File
	zipped bool
	stamp  int64 // in its name, 0 for a current file
	lines  lineReader
	skip   int // lines to leave out at the beginning
}

// openFile opens a file of a log; nil without an error means that it is not there. Links
// are not followed: a container that has the directory mounted could have put one there
// for root to read. Nor is a FIFO waited for.
func openFile(path string, zipped bool) (*file, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	opened := &file{File: f, zipped: zipped}
	opened.begin()
	return opened, nil
}

// begin makes the next line the first one after the file's offset, which is 0 for a zipped file.
func (f *file) begin() {
	f.lines = lineReader{src: f.File, buf: f.lines.buf}
	if f.zipped {
		f.lines.src = &unzipper{file: f.File}
	}
}

// unzipper reads a zipped file, of which nothing was looked at before the first Read.
type unzipper struct {
	file *os.File
	zip  *gzip.Reader
}

func (u *unzipper) Read(b []byte) (int, error) {
	if u.zip == nil {
		zip, err := gzip.NewReader(u.file)
		if err != nil {
			return 0, err
		}
		u.zip = zip
	}
	return u.zip.Read(b)
}

// close closes f, which may be nil.
func (f *file) close() {
	if f != nil {
		f.Close()
	}
}

func closeFiles(files []*file) {
	for _, f := range files {
		f.Close()
	}
}

// same reports whether f is the file that info describes.
func (f *file) same(info os.FileInfo) bool {
	own, err := f.Stat()
	return err == nil && os.SameFile(own, info)
}

// list opens the current file of the attempt, nil if it is not there, and names the old parts, which are all older. A
// directory that changes while it is read may show a newer name and not an older one, so the list only counts if no
// rotation came in between.
func (r *reader) list() (current *file, old []part, err error) {
	path := Path(r.directory, r.attempt)
	for {
		if current, err = openFile(path, false); err != nil {
			return nil, nil, err
		}
		if old, err = oldParts(r.directory, filepath.Base(path)); err != nil {
			current.close()
			return nil, nil, err
		}
		info, err := os.Stat(path)
		switch {
		case err == nil && current != nil && current.same(info), errors.Is(err, os.ErrNotExist) && current == nil:
			return current, old, nil
		case err != nil && !errors.Is(err, os.ErrNotExist):
			current.close()
			return nil, nil, fmt.Errorf("read log: %w", err)
		}
		current.close()
	}
}

// snapshot opens all files of the attempt, the oldest first.
func (r *reader) snapshot() (files []*file, err error) {
	current, old, err := r.list()
	if err != nil {
		return nil, err
	}
	for _, p := range old {
		f, err := openFile(filepath.Join(r.directory, p.name), p.zipped)
		if err != nil {
			current.close()
			closeFiles(files)
			return nil, err
		}
		if f != nil { // it may have been removed meanwhile
			f.stamp = p.stamp
			files = append(files, f)
		}
		r.seen = p.stamp
	}
	if current != nil {
		files = append(files, current)
	}
	return files, nil
}

// skipOld leaves out what Since and Tail leave out: files that were not written since, and all but the last lines.
func skipOld(files []*file, o ReadOptions) ([]*file, error) {
	for len(files) > 1 {
		info, err := files[0].Stat()
		if err != nil || !info.ModTime().Before(o.Since) {
			break
		}
		files[0].Close()
		files = files[1:]
	}
	if o.Tail < 0 {
		return files, nil
	}
	t := tail{want: o.Tail, streams: o.Streams}
	for i, f := range slices.Backward(files) {
		done, err := t.skip(f)
		if err != nil {
			return files, err
		}
		if done {
			closeFiles(files[:i])
			return files[i:], nil
		}
	}
	return files, nil
}

// printFiles prints files, one after the other. One that cannot be read, such as a damaged .gz, hides none of the others.
func (r *reader) printFiles(ctx context.Context, files []*file) error {
	var errs []error
	for _, f := range files {
		if err := r.printAll(ctx, f); err != nil {
			errs = append(errs, err)
		}
		if r.printer.err != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// printAll prints a file from where it is to its end.
func (r *reader) printAll(ctx context.Context, f *file) error {
	if err := r.printMore(ctx, f); err != nil {
		return err
	}
	r.printer.rest(&f.lines)
	return r.printer.flush()
}

// printMore prints all whole lines that a file has now.
func (r *reader) printMore(ctx context.Context, f *file) error {
	for n := 0; r.printer.err == nil; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return nil
		}
		p, err := f.lines.next()
		if err == io.EOF {
			return r.printer.flush()
		}
		if err != nil {
			return fmt.Errorf("read log %s: %w", f.Name(), err)
		}
		if f.skip > 0 {
			f.skip -= lineEnds(p, r.o.Streams)
			continue
		}
		r.printer.print(p)
	}
	return r.printer.err
}
