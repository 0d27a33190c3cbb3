package tree

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUsage compares with du(1).
func TestUsage(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	ok(t, os.WriteFile(filepath.Join(dir, "large"), make([]byte, 3<<20), 0o600))
	ok(t, os.Link(filepath.Join(dir, "large"), filepath.Join(dir, "sub/same")))
	ok(t, os.WriteFile(filepath.Join(dir, "sparse"), nil, 0o600))
	ok(t, os.Truncate(filepath.Join(dir, "sparse"), 1<<30))
	ok(t, os.Symlink("/usr", filepath.Join(dir, "out")))
	for i := range 522 {
		ok(t, os.WriteFile(filepath.Join(dir, "sub/deep", strconv.Itoa(i)), []byte("x"), 0o600))
	}
	ok(t, os.Mkdir(filepath.Join(dir, "mount"), 0o700))
	ok(t, unix.Mount("tmpfs", filepath.Join(dir, "mount"), "tmpfs", 0, ""))
	defer unix.Unmount(filepath.Join(dir, "mount"), 0)
	ok(t, os.WriteFile(filepath.Join(dir, "mount/file"), make([]byte, 1<<20), 0o600))
	if got, want := must(Usage(dir))(t), du(t, dir); got != want {
		t.Errorf("got %d bytes, du says %d", got, want)
	}
	if got := must(Usage(filepath.Join(dir, "nothing")))(t); got != 0 {
		t.Errorf("got %d bytes of what is not there", got)
	}
}

// du is what du(1) says.
func du(t *testing.T, dir string) int64 {
	t.Helper()
	out := must(exec.Command("du", "-s", "-x", "--block-size=1", dir).Output())(t)
	text, _, _ := strings.Cut(string(out), "\t")
	return must(strconv.ParseInt(text, 10, 64))(t)
}
