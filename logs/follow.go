package logs

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// followPause is the longest time between two looks at a log that is followed: the end of the container is no event in
// its directory, and inotify may have no watch left.
const followPause = 250 * time.Millisecond

// follow prints f, the newest file of the log or nil, and what comes after it. It closes f.
func (r *reader) follow(ctx context.Context, f *file) (err error) {
	watch := watch{directory: r.directory}
	defer watch.close()
	defer func() { f.close() }()
	for quiet := true; ; {
		// The order counts: what is printed before the end is told is read afterwards, and the watch is there before the
		// look that finds nothing. A log that grows has not ended, and asking may cost the caller something.
		watch.open()
		ended := quiet && r.o.Ended != nil && r.o.Ended()
		if f != nil {
			if err := r.printMore(ctx, f); err != nil {
				return err
			}
		}
		next, err := r.successor(f)
		if err != nil {
			return err
		}
		switch {
		case ctx.Err() != nil:
			next.close()
			return nil
		case next != nil:
			if f != nil {
				// Nothing is written to it any more, but something was between the two looks.
				if err := r.printAll(ctx, f); err != nil {
					return err
				}
				f.Close()
			}
			f = next
		case ended:
			if f != nil {
				r.printer.rest(&f.lines)
			}
			return r.printer.flush()
		default:
			if err := f.rewindTruncated(); err != nil {
				return err
			}
			quiet = watch.wait(ctx)
		}
	}
}

// rewindTruncated goes back to the beginning of a file that somebody has emptied.
func (f *file) rewindTruncated() error {
	if f == nil || f.zipped {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if info.Size() >= at {
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	f.begin()
	return nil
}

// successor opens the file that follows f: the next part of the same attempt if f was rotated, else the first of the next
// attempt. nil without an error means that there is none yet.
func (r *reader) successor(f *file) (*file, error) {
	if info, err := os.Stat(Path(r.directory, r.attempt)); err == nil && f != nil && f.same(info) {
		return r.nextAttempt()
	}
	current, old, err := r.list()
	if err != nil {
		return nil, err
	}
	next, err := r.nextPart(f, old)
	if next != nil || err != nil {
		current.close()
		return next, err
	}
	if current != nil {
		return current, nil
	}
	return r.nextAttempt()
}

// nextPart opens the oldest of the old parts that is newer than f, if there is one.
func (r *reader) nextPart(f *file, old []part) (*file, error) {
	for _, p := range old {
		if p.stamp <= r.seen {
			continue
		}
		next, err := openFile(filepath.Join(r.directory, p.name), p.zipped)
		if err != nil {
			return nil, err
		}
		r.seen = p.stamp
		if next == nil {
			continue // removed meanwhile
		}
		if info, err := next.Stat(); err == nil && f != nil && f.same(info) {
			next.Close()
			continue
		}
		return next, nil
	}
	return nil, nil
}

// nextAttempt opens the log of the next attempt that has one.
func (r *reader) nextAttempt() (*file, error) {
	names, err := readNames(r.directory)
	if err != nil {
		return nil, err
	}
	next := -1
	for _, name := range names {
		if p, ok := parseName(name); ok && p.attempt > r.attempt && (next < 0 || p.attempt < next) {
			next = p.attempt
		}
	}
	if next < 0 {
		return nil, nil
	}
	r.attempt, r.seen = next, 0
	files, err := r.snapshot()
	if err != nil || len(files) == 0 {
		return nil, err
	}
	// If it was rotated before it was found, it begins with its oldest part; the others follow by their stamps.
	closeFiles(files[1:])
	if files[0].stamp > 0 {
		r.seen = files[0].stamp
	}
	r.printer.endLine()
	return files[0], nil
}

// watch waits for changes in a directory, by inotify where it can.
type watch struct {
	directory string
	events    *os.File
}

// open starts watching, if the directory is there and the user has watches left. It may be called again.
func (w *watch) open() {
	if w.events != nil {
		return
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return
	}
	const changes = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_MOVED_TO
	if _, err := unix.InotifyAddWatch(fd, w.directory, changes|unix.IN_ONLYDIR); err != nil {
		unix.Close(fd)
		return
	}
	w.events = os.NewFile(uintptr(fd), "inotify")
}

// wait returns after a change, or after followPause. quiet says that no change was seen.
func (w *watch) wait(ctx context.Context) (quiet bool) {
	if w.events == nil {
		select {
		case <-ctx.Done():
		case <-time.After(followPause):
		}
		return true
	}
	// What changed is found by looking; the events are only read away.
	var events [4096]byte
	_ = w.events.SetReadDeadline(time.Now().Add(followPause))
	_, err := w.events.Read(events[:])
	if err != nil && !os.IsTimeout(err) {
		w.close()
	}
	return err != nil
}

func (w *watch) close() {
	if w.events != nil {
		w.events.Close()
		w.events = nil
	}
}
