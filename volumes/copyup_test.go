package volumes

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// imageRoot is a root file system whose directory for a volume holds a file of
// another owner, and links that lead in and out.
func imageRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	steps := []error{
		os.MkdirAll(filepath.Join(root, "srv/data/sub"), 0o755),
		os.WriteFile(filepath.Join(root, "srv/data/sub/page"), []byte("hello"), 0o600),
		os.Chmod(filepath.Join(root, "srv/data/sub/page"), 0o640),
		os.Chown(filepath.Join(root, "srv/data/sub/page"), 1001, 1002),
		os.Symlink("/srv/data", filepath.Join(root, "inside")),
		os.Symlink("../../../../../../etc", filepath.Join(root, "outside")),
		os.WriteFile(filepath.Join(root, "file"), nil, 0o600),
		os.Mkdir(filepath.Join(root, "etc"), 0o755),
		os.WriteFile(filepath.Join(root, "etc/of-the-image"), nil, 0o600),
	}
	for _, err := range steps {
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCopyUp(t *testing.T) {
	for _, c := range []struct {
		name, path string
		want       []string // entries of the volume
	}{
		{"a directory of the image", "/srv/data", []string{"sub"}},
		{"behind an absolute link, resolved in the image", "/inside", []string{"sub"}},
		{"behind a link that would leave the image, which stays in it", "/outside", []string{"of-the-image"}},
		{"nothing there", "/nowhere", nil},
		{"a file there", "/file", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := CopyUp(imageRoot(t), c.path, dir); err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range entries {
				got = append(got, e.Name())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestCopyUpKeepsModesAndOwners(t *testing.T) {
	dir := t.TempDir()
	if err := CopyUp(imageRoot(t), "/srv/data", dir); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "sub/page")
	info, err := os.Stat(page)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if got := info.Mode().Perm(); got != 0o640 || owner.Uid != 1001 || owner.Gid != 1002 {
		t.Errorf("got mode %v of %d:%d, want 0640 of 1001:1002", got, owner.Uid, owner.Gid)
	}
	if text, err := os.ReadFile(page); err != nil || string(text) != "hello" {
		t.Errorf("got %q, %v, want the image's text", text, err)
	}
}

func TestCopyUpLeavesWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "own"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CopyUp(imageRoot(t), "/srv/data", dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "sub")); !os.IsNotExist(err) {
		t.Errorf("got %v, want the volume as it was", err)
	}
}
