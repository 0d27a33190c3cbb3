package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzTree makes whatever tree the bytes say, as a container may in a volume, and
// measures it, gives it to a group and removes it. What its links lead to stays.
func FuzzTree(f *testing.F) {
	for _, seed := range []string{"", "\x00\x01\x02\x03\x04\x05", "\x00a\x00b\x00c\x05\x05\x01d", "\x02a\x02b\x03c\x04d\x06\x00\x07a", "\x08\x00e\x08\x01f"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		outside := filepath.Join(t.TempDir(), "outside")
		ok(t, os.WriteFile(outside, []byte("x"), 0o600))
		dir := filepath.Join(t.TempDir(), "tree")
		ok(t, os.Mkdir(dir, 0o755))
		b := builder{top: dir, at: dir, outside: outside}
		for i := 0; i+1 < len(script) && i < 400; i += 2 {
			b.make(script[i], script[i+1])
		}
		if _, err := Usage(dir); err != nil {
			t.Errorf("measure: %v", err)
		}
		ok(t, Give(dir, testGroup, false))
		if got := stat(t, outside); got != "0 600" {
			t.Errorf("the file outside is %s now", got)
		}
		ok(t, Remove(dir))
		if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after the removal: %v", err)
		}
		if text, err := os.ReadFile(outside); string(text) != "x" {
			t.Errorf("the file outside holds %q, %v", text, err)
		}
	})
}

type builder struct{ top, at, outside string }

// make makes one entry, or goes somewhere else. What cannot be is left out.
func (b *builder) make(what, name byte) {
	path := filepath.Join(b.at, fmt.Sprintf("%c", rune(name)+1))
	if name == '/'-1 {
		path = b.at + "/n"
	}
	switch what % 10 {
	case 0:
		if os.Mkdir(path, os.FileMode(name)<<1) == nil && len(path) < 3000 {
			b.at = path
		}
	case 1:
		os.WriteFile(path, []byte{name}, os.FileMode(name))
	case 2:
		os.Symlink(b.outside, path)
	case 3:
		os.Symlink("../../../../../..", path)
	case 4:
		unix.Mkfifo(path, uint32(name))
	case 5:
		if b.at != b.top {
			b.at = filepath.Dir(b.at)
		}
	case 6:
		os.Link(filepath.Join(b.top, "b"), path)
	case 7:
		unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))
	case 8:
		os.Chmod(b.at, os.FileMode(name)<<1)
	case 9:
		os.Chown(b.at, int(name), int(name))
	}
}
