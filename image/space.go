package image

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A layer of a few kilobytes can unpack to any number of bytes and of files. What
// an archive says of itself is not asked alone: several layers are unpacked at
// once, and a file of one byte takes a block. So the file system is, while the
// unpacking goes on, and the unpacking ends before the disk is full: pods write
// to the same one.

// spaceInterval is how often the file system is asked: a disk takes some ten
// megabytes in that time.
const spaceInterval = 10 * time.Millisecond

// space is what has to be left of a file system: a twentieth of what was free.
type space struct {
	dir           string
	bytes, inodes int64
	free          int64 // bytes that one layer may take
}

// statSpace is what is free. Some file systems do not count inodes.
func statSpace(dir string) (bytes, inodes int64, counted bool, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, 0, false, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(fs.Bavail) * fs.Bsize, int64(fs.Ffree), fs.Files > 0, nil
}

// keepSpace cancels the context with an error that is ENOSPC when an unpacking to
// dir has left too little.
func keepSpace(ctx context.Context, dir string) (guarded context.Context, s *space, stop func(), err error) {
	bytes, inodes, _, err := statSpace(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	s = &space{dir: dir, bytes: bytes / 20, inodes: inodes / 20, free: bytes - bytes/20}
	guarded, cancel := context.WithCancelCause(ctx)
	go func() {
		ticker := time.NewTicker(spaceInterval)
		defer ticker.Stop()
		for {
			select {
			case <-guarded.Done():
				return
			case <-ticker.C:
			}
			if err := s.short(); err != nil {
				cancel(err)
				return
			}
		}
	}()
	return guarded, s, func() { cancel(nil) }, nil
}

// short is an error when less is left than should be.
func (s *space) short() error {
	bytes, inodes, counted, err := statSpace(s.dir)
	switch {
	case err != nil:
		return err
	case bytes < s.bytes:
		return fmt.Errorf("the layer would fill the disk: %w", unix.ENOSPC)
	case counted && inodes < s.inodes:
		return fmt.Errorf("the layer would take the last inodes of the file system: %w", unix.ENOSPC)
	}
	return nil
}

// guardedReader ends with its context, and when too little space is left: a fast
// disk could be full before the next tick.
type guardedReader struct {
	ctx    context.Context
	inner  io.Reader
	space  *space
	unseen int // bytes read since the file system was asked
}

// How many bytes of an archive are read, and files made, between two questions.
const (
	spaceStep   = 1 << 20
	entriesStep = 64
)

func (r *guardedReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	if r.unseen >= spaceStep {
		r.unseen = 0
		if err := r.space.short(); err != nil {
			return 0, err
		}
	}
	n, err := r.inner.Read(p)
	r.unseen += n
	return n, err
}
