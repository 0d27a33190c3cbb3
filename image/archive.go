package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// archiveFiles are the files of a docker archive or an OCI layout, wherever
// they are. Names are slash-separated; nothing outside can be named.
type archiveFiles interface {
	// open returns a file and its size, fs.ErrNotExist if there is none.
	open(name string) (io.ReadCloser, int64, error)
	io.Closer
}

// readSmall reads a file of at most limit bytes.
func readSmall(files archiveFiles, name string, limit int64) ([]byte, error) {
	f, size, err := files.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes; podrun takes %d", name, size, limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// directory is an archive that somebody unpacked. os.Root keeps its symlinks inside.
type directory struct{ root *os.Root }

func (d directory) open(name string) (io.ReadCloser, int64, error) {
	f, err := d.root.Open(path.Clean(name))
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func (d directory) Close() error { return d.root.Close() }

// tarArchive is an archive as one plain tar. Nothing of it is unpacked: its files
// are read where they are.
type tarArchive struct {
	file    *os.File
	entries map[string]tarEntry
}

type tarEntry struct {
	offset, size int64
	link         string // the entry is another name of that one
}

// maxTarEntries is far above what an archive of images has: a few files a layer.
const maxTarEntries = 100_000

// openTarball reads the table of contents. It closes file if it fails, else
// Close does.
func openTarball(file *os.File) (t *tarArchive, err error) {
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	t = &tarArchive{file: file, entries: map[string]tarEntry{}}
	r := tar.NewReader(file)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) && len(t.entries) == 0 {
			return nil, errNoTar
		}
		if err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		if len(t.entries) >= maxTarEntries {
			return nil, fmt.Errorf("read archive: it has more than %d files", maxTarEntries)
		}
		name := path.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeReg:
			offset, err := file.Seek(0, io.SeekCurrent)
			if err != nil {
				return nil, err
			}
			t.entries[name] = tarEntry{offset: offset, size: h.Size}
		case tar.TypeSymlink: // docker save wrote those for layers that images share
			t.entries[name] = tarEntry{link: path.Join(path.Dir(name), h.Linkname)}
		case tar.TypeLink:
			t.entries[name] = tarEntry{link: path.Clean(h.Linkname)}
		}
	}
}

func (t *tarArchive) open(name string) (io.ReadCloser, int64, error) {
	const maxLinks = 8
	at := path.Clean(name)
	for range maxLinks {
		e, ok := t.entries[at]
		if !ok {
			return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		if e.link == "" {
			return io.NopCloser(io.NewSectionReader(t.file, e.offset, e.size)), e.size, nil
		}
		at = e.link
	}
	return nil, 0, &fs.PathError{Op: "open", Path: name, Err: errors.New("too many links")}
}

func (t *tarArchive) Close() error { return t.file.Close() }

// openArchive opens a directory or a file.
func (s *Store) openArchive(ctx context.Context, name string) (archiveFiles, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if info.IsDir() {
		f.Close()
		root, err := os.OpenRoot(name)
		if err != nil {
			return nil, err
		}
		return directory{root}, nil
	}
	head := make([]byte, 8)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		f.Close()
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err == nil && !isCompressed(head[:n]) {
		return openTarball(f)
	}
	defer f.Close()
	return s.spool(ctx, f)
}

// spool writes a stream, decompressed, to a file without a name: an archive's
// table of contents may come last, and the file must not outlive us.
func (s *Store) spool(ctx context.Context, r io.Reader) (archiveFiles, error) {
	ctx, space, stop, err := keepSpace(ctx, s.path("tmp"))
	if err != nil {
		return nil, err
	}
	defer stop()
	plain, err := decompress(r)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	f, err := os.CreateTemp(s.path("tmp"), "load-")
	if err != nil {
		return nil, err
	}
	if err = os.Remove(f.Name()); err == nil {
		_, err = io.Copy(f, &guardedReader{ctx: ctx, inner: plain, space: space})
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read archive: %w", err)
	}
	return openTarball(f)
}
