package volumes

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenFile(t *testing.T) {
	s := newSpec(t, emptyDir("data"))
	set := must(Mount(s))(t)
	dir := filepath.Join(s.Dir, "data")
	write(t, dir+"/file", "inside")
	ok(t, os.Symlink("/file", dir+"/absolute"))
	ok(t, os.Symlink("../../../file", dir+"/up"))
	ok(t, os.Symlink("/etc/passwd", dir+"/out"))
	ok(t, unix.Mkfifo(dir+"/pipe", 0o644))
	tests := []struct{ volume, path, wantErr string }{
		{"data", "file", ""},
		{"data", "absolute", ""}, // as if the volume were the root
		{"data", "up", ""},
		{"data", "out", "no such file or directory"},
		{"data", "none", "no such file or directory"},
		{"data", "pipe", "it is not a regular file"},
		{"data", ".", "it is not a regular file"},
		{"none", "file", `cannot find the volume "none" referenced by FileKeyRef`},
	}
	for _, test := range tests {
		f, path, err := set.OpenFile(test.volume, test.path)
		checkError(t, err, test.wantErr)
		if err != nil {
			continue
		}
		if got := string(must(io.ReadAll(f))(t)); got != "inside" || path != filepath.Join(dir, test.path) {
			t.Errorf("%s: got %q at %s", test.path, got, path)
		}
		f.Close()
	}
}
