package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// layered pulls an image whose layers have these files.
func layered(t *testing.T, s *Store, layers ...[]file) (*Image, error) {
	t.Helper()
	host := serve(t, handler())
	var all []v1.Layer
	for _, files := range layers {
		all = append(all, layerOf(t, files))
	}
	push(t, host+"/x:1", imageOf(t, here(), all...))
	return s.Pull(t.Context(), host+"/x:1", PullOptions{})
}

// TestMergedLayers looks at an overlay of layers that take away, replace, and
// leave out what lower ones have.
func TestMergedLayers(t *testing.T) {
	const char = tar.TypeChar
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	img, err := layered(t, newStore(t),
		[]file{
			{name: "tmp/", mode: 0o1777}, {name: "srv/", mode: 0o750, uid: 33}, {name: "srv/deep/", mode: 0o700, uid: 34},
			{name: "gone"}, {name: "old/"}, {name: "old/a"}, {name: "again/"}, {name: "again/lower"}, {name: "before/"}, {name: "before/lower"},
			{name: "kept", body: "lower"}, {name: "dir/"}, {name: "dir/x"}, {name: "opaque/"}, {name: "opaque/lower"},
			{name: "link", kind: tar.TypeSymlink, body: "/absolute"}, {name: "hard", kind: tar.TypeLink, body: "kept"},
			{name: "null", kind: char, mode: 0o666}, {name: "fifo", kind: tar.TypeFifo}, {name: "set", mode: 0o6755, uid: 1000},
			{name: "ping", pax: map[string]string{xattrRecord + "security.capability": capability, xattrRecord + "user.note": "n"}},
		},
		[]file{
			{name: "tmp/new"}, {name: "srv/deep/file"}, // without entries for their directories
			{name: ".wh.gone"}, {name: "old/.wh.a"}, {name: "opaque/.wh..wh..opq"}, {name: "opaque/upper"},
			{name: "again/"}, {name: "again/upper"}, {name: ".wh.again"}, // the whiteout after what replaces it
			{name: ".wh.before"}, {name: "before/upper"}, // and before it
			{name: ".wh.kept"}, {name: "kept", body: "upper"}, {name: "dir/.wh..wh.plnk", body: "aufs"},
		})
	if err != nil {
		t.Fatal(err)
	}
	root := mountImage(t, img)
	for _, name := range []string{"gone", "old/a", "opaque/lower", "again/lower", "before/lower", "dir/.wh..wh.plnk", "opaque/.wh..wh..opq"} {
		if _, err := os.Lstat(filepath.Join(root, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s = %v, want it hidden", name, err)
		}
	}
	for name, want := range map[string]string{"tmp/new": "", "opaque/upper": "", "again/upper": "", "before/upper": "", "kept": "upper", "hard": "lower", "dir/x": ""} {
		wantFile(t, filepath.Join(root, name), want)
	}
	for name, want := range map[string]struct {
		mode os.FileMode
		uid  uint32
	}{
		".": {os.ModeDir | 0o755, 0}, "tmp": {os.ModeDir | os.ModeSticky | 0o777, 0}, "srv": {os.ModeDir | 0o750, 33}, "srv/deep": {os.ModeDir | 0o700, 34},
		"set": {os.ModeSetuid | os.ModeSetgid | 0o755, 1000}, "null": {os.ModeDevice | os.ModeCharDevice | 0o666, 0}, "fifo": {os.ModeNamedPipe | 0o644, 0},
	} {
		info, err := os.Lstat(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(root, name), &st); err != nil || info.Mode() != want.mode || st.Uid != want.uid {
			t.Errorf("%s: mode %v, uid %d, %v; want %v, %d", name, info.Mode(), st.Uid, err, want.mode, want.uid)
		}
		if name != "." && !info.ModTime().Equal(testTime) {
			t.Errorf("%s: changed at %v, want %v", name, info.ModTime(), testTime)
		}
	}
	if target, err := os.Readlink(filepath.Join(root, "link")); target != "/absolute" {
		t.Errorf("link = %q, %v", target, err)
	}
	for name, want := range map[string]string{"security.capability": capability, "user.note": "n"} {
		value := make([]byte, 100)
		n, err := unix.Lgetxattr(filepath.Join(root, "ping"), name, value)
		if err != nil || string(value[:n]) != want {
			t.Errorf("%s = %q, %v; want %q", name, value[:max(n, 0)], err, want)
		}
	}
	info, err := os.Stat(filepath.Dir(filepath.Dir(img.Layers[0])))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the store's directory: %v, %v; want it closed to others", info.Mode(), err)
	}
}

// TestHostileNames: whatever an archive names stays inside of the layer.
func TestHostileNames(t *testing.T) {
	outside := t.TempDir()
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("safe"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		files []file
		want  string // a file that the layer then has; "": it is refused
	}{
		{"absolute name", []file{{name: victim, body: "x"}}, victim},
		{"dots", []file{{name: "../../../../../../../.." + victim, body: "x"}}, victim},
		{"through a symlink", []file{{name: "l", kind: tar.TypeSymlink, body: outside}, {name: "l/victim", body: "x"}}, victim},
		{"through a relative symlink", []file{{name: "l", kind: tar.TypeSymlink, body: "../../../../../../.." + outside}, {name: "l/victim", body: "x"}}, victim},
		{"over a symlink", []file{{name: "l", kind: tar.TypeSymlink, body: victim}, {name: "l", body: "x"}}, "l"},
		{"hard link to the outside", []file{{name: "l", kind: tar.TypeLink, body: victim}}, ""},
		{"hard link by dots", []file{{name: "l", kind: tar.TypeLink, body: "../../../../../../../.." + victim}}, ""},
		{"whiteout of the parent", []file{{name: ".wh.."}}, ""},
		{"whiteout by dots", []file{{name: ".wh..."}}, ""},
		{"whiteout through a symlink", []file{{name: "l", kind: tar.TypeSymlink, body: outside}, {name: "l/.wh.victim"}}, outside},
		{"whiteout whose directory becomes a symlink", []file{{name: "d/.wh.new"}, {name: "d/.wh..wh..opq"}, {name: "d", kind: tar.TypeSymlink, body: outside}}, ""},
		{"whiteout whose directory becomes a file", []file{{name: "d/"}, {name: "d/.wh.victim"}, {name: "d", body: "x"}}, "d"},
		{"whiteout whose directory becomes a fifo", []file{{name: "d/.wh.victim"}, {name: "d/.wh..wh..opq"}, {name: "d", kind: tar.TypeFifo}}, "d"},
		{"trusted attribute", []file{{name: "d/", pax: map[string]string{xattrRecord + "trusted.overlay.redirect": "/etc"}}}, "d"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			img, err := s.Import(t.Context(), bytes.NewReader(tarOf(t, tt.files...)), "x", nil)
			wantFile(t, victim, "safe")
			if entries, _ := os.ReadDir(outside); len(entries) != 1 {
				t.Errorf("outside: %v, want the victim alone", entries)
			}
			if n, err := unix.Lgetxattr(outside, opaqueXattr, nil); err == nil {
				t.Errorf("the outside became opaque (%d)", n)
			}
			wantTidy(t, s)
			if tt.want == "" {
				if err == nil {
					t.Error("it was taken, want it refused")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(filepath.Join(img.Layers[0], tt.want)); err != nil {
				t.Errorf("want it inside: %v", err)
			}
			if n, err := unix.Lgetxattr(filepath.Join(img.Layers[0], "d"), "trusted.overlay.redirect", nil); err == nil {
				t.Errorf("a trusted attribute of %d bytes was taken", n)
			}
		})
	}
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t *testing.T, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(data, nil)
}

func TestDecompress(t *testing.T) {
	plain := tarOf(t, file{name: "a", body: "a"})
	skippable := append([]byte{0x5e, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2}, zstandard(t, plain)...)
	for name, data := range map[string][]byte{"plain": plain, "gzip": gzipped(t, plain), "zstd": zstandard(t, plain), "zstd:chunked": skippable} {
		s := newStore(t)
		img, err := s.Import(t.Context(), bytes.NewReader(data), "x", nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantFile(t, filepath.Join(img.Layers[0], "a"), "a")
	}
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"cut gzip":     {gzipped(t, plain)[:40], "unexpected EOF"},
		"cut tar":      {tarOf(t, file{name: "a", body: strings.Repeat("a", 1000)})[:600], "unexpected EOF"},
		"no tar":       {bytes.Repeat([]byte("podrun"), 200), "is no tar archive"},
		"a short text": {[]byte("kind: Pod"), "is no tar archive"},
		"nothing":      {nil, "there is nothing to read"},
		"xz":           {append(bytes.Clone(xzMagic), plain...), "decompress it first"},
		"zstd window":  {[]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x01, 0x00, 0x00}, "window size exceeded"}, // 3.75 TiB of memory
	} {
		s := newStore(t)
		if _, err := s.Import(t.Context(), bytes.NewReader(tt.data), "x", nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		wantTidy(t, s)
	}
}

// TestHeaderLimit: a layer may not fill the memory with names. The limit is
// met by the filter alone, without making 500 MB of headers.
func TestHeaderLimit(t *testing.T) {
	u := unpacker{headerBytes: maxHeaderBytes - 300, free: 1000}
	if _, err := u.filter(&tar.Header{Name: "a"}); err != nil {
		t.Errorf("below the limit: %v", err)
	}
	if _, err := u.filter(&tar.Header{Name: "a"}); err == nil {
		t.Error("above the limit: want an error")
	}
}

// TestLayerLargerThanDisk: the size that an archive claims is enough to refuse it.
func TestLayerLargerThanDisk(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "huge", Typeflag: tar.TypeReg, Size: 1 << 60}); err != nil {
		t.Fatal(err)
	}
	s := newStore(t)
	_, err := s.Import(t.Context(), &b, "x", nil)
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "podrun image rm") {
		t.Errorf("Import = %v, want that there is no space", err)
	}
	wantTidy(t, s)
}

// FuzzUnpack: no archive, however broken, gets anything out of its directory; what
// one unpacks to can be told by its inventory.
func FuzzUnpack(f *testing.F) {
	f.Add(tarOf(f, file{name: "a", body: "a"}, file{name: "l", kind: tar.TypeSymlink, body: "/"}, file{name: "l/b/.wh.c"}, file{name: "d/.wh..wh..opq"}))
	f.Add(tarOf(f, file{name: "../../x", body: "a"}, file{name: "/abs", body: "b"}, file{name: "h", kind: tar.TypeLink, body: "../../layer"}, file{name: "dev", kind: tar.TypeChar}, file{name: "p", kind: tar.TypeFifo}))
	f.Add(tarOf(f, file{name: "d/.wh.x"}, file{name: "d", kind: tar.TypeSymlink, body: "../.."}, file{name: "d/y", body: "y"}, file{name: ".wh.d"}, file{name: "z", pax: map[string]string{xattrRecord + "user.a": "b", xattrRecord + "trusted.overlay.opaque": "y"}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		tree, err := unpack(t.Context(), filepath.Join(parent, "layer"), io.LimitReader(bytes.NewReader(data), 1<<20))
		if err == nil && tree.diffID.Hex == "" {
			t.Error("no diff ID")
		}
		if entries, _ := os.ReadDir(parent); len(entries) > 1 {
			t.Errorf("outside of the layer: %v", entries)
		}
		if err != nil {
			return
		}
		inventory := filepath.Join(parent, "inventory")
		sum, err := writeInventory(tree.dir, inventory)
		if err == nil {
			err = verifyTree(tree.dir, inventory, sum)
		}
		if err != nil {
			t.Errorf("inventory: %v", err)
		}
	})
}
