package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// needRoot: what is tested here (owners, devices, trusted attributes, mounts)
// exists for root only. A test that skipped would look like one that passed.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("run as root")
	}
}

// newStore opens a store in a directory of its own, which is gone afterwards
// along with every mount below it.
func newStore(t *testing.T) *Store {
	t.Helper()
	needRoot(t)
	s, err := Open(filepath.Join(t.TempDir(), "images"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// file is one entry of an archive made by a test.
type file struct {
	name string
	kind byte // tar.TypeReg if zero, or as the name's last slash says
	mode int64
	body string // of a link, its target
	uid  int
	pax  map[string]string
}

var testTime = time.Unix(1_700_000_000, 0)

func tarOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Typeflag: f.kind, Mode: f.mode, Uid: f.uid, Gid: f.uid, ModTime: testTime, PAXRecords: f.pax}
		switch {
		case f.kind == tar.TypeLink || f.kind == tar.TypeSymlink:
			h.Linkname = f.body
		case f.kind == tar.TypeChar:
			h.Devmajor, h.Devminor = 1, 3
		case f.kind == 0 && strings.HasSuffix(f.name, "/"):
			h.Typeflag = tar.TypeDir
		case f.kind == 0:
			h.Typeflag, h.Size = tar.TypeReg, int64(len(f.body))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
			if h.Typeflag == tar.TypeDir {
				h.Mode = 0o755
			}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(f.body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func importImage(t *testing.T, s *Store, ref string, changes []string, files ...file) *Image {
	t.Helper()
	img, err := s.Import(t.Context(), bytes.NewReader(tarOf(t, files...)), ref, changes)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// mountImage mounts img for the time of the test and returns where.
func mountImage(t *testing.T, img *Image) string {
	t.Helper()
	base := t.TempDir()
	target, dir := filepath.Join(base, "rootfs"), filepath.Join(base, "rw")
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Mount(img, target, dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
		if mounted, err := isOverlay(target); mounted || err != nil {
			t.Errorf("left mounted: %v, %v", mounted, err)
		}
	})
	return target
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s = %q, %v; want %q", path, got, err, want)
	}
}

// wantTidy checks that a store holds nothing unfinished.
func wantTidy(t *testing.T, s *Store) {
	t.Helper()
	for _, dir := range subdirectories {
		entries, err := os.ReadDir(s.path(dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if dir == "tmp" || isTemporary(e) {
				t.Errorf("left in %s: %s", dir, e.Name())
			}
		}
	}
	if _, err := os.Lstat(s.path(garbageName)); err == nil {
		t.Error("left to collect")
	}
}

func TestImportGetMount(t *testing.T) {
	s := newStore(t)
	made := importImage(t, s, "busybox", []string{`CMD ["sh"]`, "ENV A=1 B=2"},
		file{name: "./"}, file{name: "./bin/"}, file{name: "./bin/sh", body: "#!", mode: 0o4755}, file{name: "etc/passwd", body: "root", uid: 7})
	if want := "docker.io/library/busybox:latest"; made.Reference != want {
		t.Errorf("Reference = %q, want %q", made.Reference, want)
	}
	for _, ref := range []string{"busybox", "docker.io/library/busybox", "index.docker.io/library/busybox:latest", made.ID, made.ID[:19], made.ID[7:19]} {
		got, err := s.Get(ref)
		if err != nil {
			t.Errorf("Get(%q): %v", ref, err)
			continue
		}
		if got.ID != made.ID || got.Digest != made.Digest || !slices.Equal(got.Config.Cmd, []string{"sh"}) ||
			!slices.Equal(got.Config.Env, []string{"A=1", "B=2"}) || !slices.Equal(got.Layers, made.Layers) || got.Size != 6 {
			t.Errorf("Get(%q) = %+v, want %+v", ref, got, made)
		}
	}
	for _, ref := range []string{"busybox:other", "sha256:" + strings.Repeat("0", 64), "000000000000"} {
		if _, err := s.Get(ref); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get(%q) = %v, want ErrNotFound", ref, err)
		}
	}
	wantTidy(t, s)

	root := mountImage(t, made)
	wantFile(t, filepath.Join(root, "bin/sh"), "#!")
	info, err := os.Stat(filepath.Join(root, "bin/sh"))
	if err != nil || info.Mode() != 0o755|os.ModeSetuid || !info.ModTime().Equal(testTime) {
		t.Errorf("bin/sh: %v, %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(root, "bin/sh"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantFile(t, filepath.Join(made.Layers[0], "bin/sh"), "#!")
}

func TestImportAgainChangesNothing(t *testing.T) {
	s := newStore(t)
	first := importImage(t, s, "a", []string{"USER 1"}, file{name: "x", body: "x"})
	again := importImage(t, s, "a", []string{"USER 1"}, file{name: "x", body: "x"})
	if again.ID != first.ID {
		t.Errorf("ID = %s, want %s as before", again.ID, first.ID)
	}
	other := importImage(t, s, "a", []string{"USER 2"}, file{name: "x", body: "x"})
	if other.ID == first.ID || other.Layers[0] != first.Layers[0] {
		t.Errorf("other config: ID %s, layer %s; want another ID and the same layer as %s", other.ID, other.Layers[0], first.ID)
	}
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].ID != other.ID || list[1].ID != first.ID || list[1].Reference != "" {
		t.Errorf("List = %+v, want the new image, then the old one without a name", list)
	}
	wantTidy(t, s)
}

func TestRemove(t *testing.T) {
	s := newStore(t)
	a := importImage(t, s, "a", nil, file{name: "x", body: "x"})
	b := importImage(t, s, "b", []string{"USER 1"}, file{name: "x", body: "x"})
	c := importImage(t, s, "c", nil, file{name: "y", body: "y"})
	used := func(id string) (string, error) { return map[string]string{c.ID: "default/web"}[id], nil }
	ctx := context.Background()

	if err := s.Remove(ctx, "c", used); err == nil || !strings.Contains(err.Error(), "pod default/web") {
		t.Errorf("Remove of a used image = %v, want a refusal that names the pod", err)
	}
	if err := s.Remove(ctx, "a", used); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(a.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get of the removed image = %v, want ErrNotFound", err)
	}
	wantFile(t, filepath.Join(b.Layers[0], "x"), "x") // shared with b
	if err := s.Remove(ctx, b.ID, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(b.Layers[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("layer of the last image = %v, want it gone", err)
	}
	if _, err := s.Get("b"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get(b) = %v, want ErrNotFound", err)
	}
	wantFile(t, filepath.Join(c.Layers[0], "y"), "y")
	if err := s.Remove(ctx, "c", nil); err != nil {
		t.Fatal(err)
	}
	for _, dir := range subdirectories {
		if entries, _ := os.ReadDir(s.path(dir)); len(entries) > 0 {
			t.Errorf("%s is not empty: %v", dir, entries)
		}
	}
	wantTidy(t, s)
	if err := s.Remove(ctx, "c", nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("Remove again = %v, want ErrNotFound", err)
	}
}

// BenchmarkGet is on the way of `up` for each container.
func BenchmarkGet(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Import(b.Context(), bytes.NewReader(tarOf(b, file{name: "x"})), "busybox", []string{"ENV A=1 B=2 C=3", `CMD ["sh"]`}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Get("busybox"); err != nil {
			b.Fatal(err)
		}
	}
}
