package tree

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOpenRegular: what is no regular file is not opened, not even for a moment.
func TestOpenRegular(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	ok(t, os.WriteFile(outside, []byte("secret"), 0o600))
	dir := t.TempDir()
	ok(t, os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600))
	ok(t, os.Symlink("/file", filepath.Join(dir, "link")))
	ok(t, os.Symlink(outside, filepath.Join(dir, "out")))
	ok(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	ok(t, unix.Mknod(filepath.Join(dir, "nodriver"), unix.S_IFCHR|0o600, int(unix.Mkdev(511, 0)))) // to open it is ENXIO
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	ok(t, err)
	defer unix.Close(fd)
	for name, want := range map[string]error{
		"file": nil, "link": nil, "out": unix.ENOENT, "none": unix.ENOENT, "fifo": ErrNotRegular, "nodriver": ErrNotRegular, ".": ErrNotRegular,
	} {
		began := time.Now()
		f, err := OpenRegular(fd, name, unix.RESOLVE_IN_ROOT)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if err == nil {
			if text, err := io.ReadAll(f); string(text) != "text" {
				t.Errorf("%s: read %q, %v", name, text, err)
			}
			ok(t, f.Close())
		}
	}
}
