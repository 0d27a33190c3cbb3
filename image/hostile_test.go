package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"
)

// smallDisk is a store on a file system of its own, of 64 MiB and 20,000 inodes.
func smallDisk(t *testing.T) *Store {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m,nr_inodes=20000"); err != nil {
		t.Fatal(os.NewSyscallError("mount", err))
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	s, err := Open(filepath.Join(dir, "images"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stream is an archive that is written while it is read.
func stream(write func(w *tar.Writer) error) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		t := tar.NewWriter(w)
		w.CloseWithError(errors.Join(write(t), t.Close()))
	}()
	return r
}

// entries writes n entries; header is given the number of each.
func entries(n int, header func(i int) *tar.Header) func(*tar.Writer) error {
	body := make([]byte, 1<<20)
	return func(w *tar.Writer) error {
		for i := range n {
			h := header(i)
			if err := w.WriteHeader(h); err != nil {
				return err
			}
			if h.Typeflag == tar.TypeReg {
				if _, err := w.Write(body[:h.Size]); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// TestBombs: a layer that unpacks to more than there is room for ends with a clear
// error before the disk is full, and leaves nothing.
func TestBombs(t *testing.T) {
	empty := func(i int) *tar.Header { return &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint(i), Mode: 0o644} }
	tests := map[string]struct {
		archive io.ReadCloser
		want    string
	}{
		"a file larger than the disk": {stream(func(w *tar.Writer) error {
			return w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 1 << 30})
		}), "larger than the free space"},
		"files larger than the disk together": {stream(entries(1000, func(i int) *tar.Header {
			return &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint(i), Size: 1 << 20}
		})), "larger than the free space"},
		"files of a byte, which take a block": {stream(entries(100_000, func(i int) *tar.Header {
			return &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("%d/%d", i%9, i), Size: 1}
		})), "would fill the disk: no space left on device"},
		"ten million files":       {stream(entries(10_000_000, empty)), "would take the last inodes of the file system"},
		"ten million directories": {stream(entries(10_000_000, func(i int) *tar.Header { return &tar.Header{Typeflag: tar.TypeDir, Name: fmt.Sprint(i), Mode: 0o755} })), "would take the last inodes of the file system"},
		"ten million entries that are no files": {stream(entries(10_000_000, func(i int) *tar.Header {
			return &tar.Header{Typeflag: tar.TypeReg, Name: ".wh..wh." + strings.Repeat("n", 20_000), Mode: 0o644}
		})), "it has more files than podrun takes"},
		"zeros after the end": {io.NopCloser(io.MultiReader(bytes.NewReader(tarOf(t, file{name: "a"})), io.LimitReader(zeros{}, 1<<40))), "MiB after its end"},
		"a bomb of gzip":      {io.NopCloser(bytes.NewReader(bomb(t, 300<<20))), "larger than the free space"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := smallDisk(t)
			importImage(t, s, "first:1", nil, file{name: "a"})
			before, _, _, err := statSpace(s.dir)
			if err != nil {
				t.Fatal(err)
			}
			peak := newMemoryPeak()
			_, err = s.Import(t.Context(), test.archive, "bomb:1", nil)
			test.archive.Close()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("import = %v, want %q", err, test.want)
			}
			if grown := peak.grown(); grown > 1<<30 {
				t.Errorf("it took %d MiB of memory", grown>>20)
			}
			wantTidy(t, s)
			wantNoOrphans(t, s)
			if after, _, _, err := statSpace(s.dir); err != nil || before-after > 1<<20 {
				t.Errorf("%d bytes are left, and before %d: %v", after, before, err)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// bomb is a gzip of a file of zeros.
func bomb(t *testing.T, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "zeros", Mode: 0o644, Size: size})
	if err == nil {
		_, err = io.CopyN(w, zeros{}, size)
	}
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// memoryPeak is about what the heap has grown by.
type memoryPeak struct{ before uint64 }

func newMemoryPeak() memoryPeak {
	var m goruntime.MemStats
	goruntime.GC()
	goruntime.ReadMemStats(&m)
	return memoryPeak{m.HeapSys}
}

func (p memoryPeak) grown() uint64 {
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return m.HeapSys - min(m.HeapSys, p.before)
}

// TestBombOfLayers: layers that fit one by one do not fill the disk together, and
// those that were complete do not stay.
func TestBombOfLayers(t *testing.T) {
	host := serve(t, handler())
	var layers []v1.Layer
	for i := range 4 {
		layers = append(layers, layerOf(t, []file{{name: fmt.Sprintf("noise%d", i), body: noise(25<<20 + i)}}))
	}
	push(t, host+"/bomb:1", imageOf(t, here(), layers...))
	s := smallDisk(t)
	_, err := s.Pull(t.Context(), host+"/bomb:1", PullOptions{})
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "podrun image rm") {
		t.Errorf("pull = %v, want that there is no space, and what to do", err)
	}
	wantTidy(t, s)
	wantNoOrphans(t, s)
}

// TestArchiveBombs: an archive of images is bounded, too.
func TestArchiveBombs(t *testing.T) {
	s := smallDisk(t)
	if _, err := s.LoadStream(t.Context(), bytes.NewReader(bomb(t, 300<<20))); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "would fill the disk") {
		t.Errorf("load of a bomb = %v, want that there is no space", err)
	}
	wantTidy(t, s)
	config := `{"rootfs":{"diff_ids":[]}}` + strings.Repeat(" ", maxConfig-100)
	list := strings.Repeat(`{"Config":"c.json"},`, 10_000) + `{"Config":"c.json"}`
	peak := newMemoryPeak()
	_, err := newStore(t).LoadStream(t.Context(), bytes.NewReader(tarOf(t, file{name: "manifest.json", body: "[" + list + "]"}, file{name: "c.json", body: config})))
	if !errors.Is(err, errForged) || peak.grown() > 1<<30 {
		t.Errorf("load of one config many times = %v, with %d MiB of memory", err, peak.grown()>>20)
	}
}

// liar is a registry of one image that says what it wants.
type liar struct {
	manifest []byte
	blobs    map[string][]byte
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, last, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/x/"), "/")
	switch blob, ok := l.blobs[last]; {
	case r.URL.Path == "/v2/":
	case strings.Contains(r.URL.Path, "/manifests/"):
		w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
		_, _ = w.Write(l.manifest)
	case ok:
		_, _ = w.Write(blob)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// TestLyingRegistry: what a registry says of a blob is held against the blob, and
// an image that does not agree with itself leaves nothing.
func TestLyingRegistry(t *testing.T) {
	good, other := tarOf(t, file{name: "a", body: "good"}), tarOf(t, file{name: "a", body: "evil"})
	lower := tarOf(t, file{name: "lower"})
	configOf := func(diffIDs ...v1.Hash) []byte {
		ids := make([]string, len(diffIDs))
		for i, d := range diffIDs {
			ids[i] = fmt.Sprintf("%q", d)
		}
		return fmt.Appendf(nil, `{"os":"linux","architecture":%q,"rootfs":{"type":"layers","diff_ids":[%s]}}`, goruntime.GOARCH, strings.Join(ids, ","))
	}
	honest := configOf(sha256Of(lower), sha256Of(good))
	type lie struct {
		config, blob, diffConfig []byte // what is sent as config and upper layer
		configSize, layerSize    int64  // what the manifest says; 0: the truth
		want                     string
	}
	for name, l := range map[string]lie{
		"another layer":             {blob: other, want: "has the content of"},
		"a layer that goes on":      {blob: append(bytes.Clone(good), "more"...), want: "is longer than"},
		"a layer that ends early":   {blob: good[:700], want: "download at byte 700"},
		"a layer said to be huge":   {layerSize: 1 << 62, want: "download at byte"},
		"a layer said to be small":  {layerSize: 10, want: "is longer than"},
		"another config":            {config: configOf(sha256Of(lower), sha256Of(other)), want: "has the content of"},
		"a config said to be huge":  {configSize: 1 << 40, want: "podrun takes"},
		"a config said to be small": {configSize: 10, want: "is longer than"},
		"another diff ID":           {diffConfig: configOf(sha256Of(lower), sha256Of(other)), want: "it unpacks to"},
		"a diff ID too many":        {diffConfig: configOf(sha256Of(lower), sha256Of(good), sha256Of(good)), want: "names 3 layers, its manifest 2"},
		"a diff ID that is none":    {diffConfig: []byte(`{"rootfs":{"diff_ids":["sha256:../../x","sha256:y"]}}`), want: "read image config"},
		"a config that is no JSON":  {diffConfig: []byte("{"), want: "read image config"},
		"layers without end":        {diffConfig: bytes.Repeat([]byte(" "), 9<<20), want: "podrun takes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, layer := honest, good
			if l.diffConfig != nil {
				config = l.diffConfig
			}
			r := &liar{blobs: map[string][]byte{sha256Of(config).String(): config, sha256Of(good).String(): good, sha256Of(lower).String(): lower}}
			size := func(said int64, data []byte) int64 {
				if said != 0 {
					return said
				}
				return int64(len(data))
			}
			r.manifest = fmt.Appendf(nil, `{"schemaVersion":2,"config":{"digest":%q,"size":%d},"layers":[{"digest":%q,"size":%d},{"digest":%q,"size":%d}]}`,
				sha256Of(config), size(l.configSize, config), sha256Of(lower), len(lower), sha256Of(layer), size(l.layerSize, layer))
			if l.config != nil {
				r.blobs[sha256Of(config).String()] = l.config
			}
			if l.blob != nil {
				r.blobs[sha256Of(good).String()] = l.blob
			}
			s := newStore(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := s.Pull(ctx, serve(t, r)+"/x:1", PullOptions{}); err == nil || !strings.Contains(err.Error(), l.want) {
				t.Errorf("pull = %v, want %q", err, l.want)
			}
			if list, err := s.List(); len(list) > 0 || err != nil {
				t.Errorf("list = %v, %v; want nothing", list, err)
			}
			wantTidy(t, s)
		})
	}
	r := &liar{manifest: []byte(`{"schemaVersion":2}`)}
	wrong := serve(t, r) + "/x@" + sha256Of([]byte("x")).String()
	if _, err := newStore(t).Pull(t.Context(), wrong, PullOptions{}); err == nil || !strings.Contains(err.Error(), "the registry sent") {
		t.Errorf("pull of a digest = %v, want that another manifest came", err)
	}
}

// TestManyVolumes: each would be a mount of every container.
func TestManyVolumes(t *testing.T) {
	for n, want := range map[int]string{maxVolumes: "", maxVolumes + 1: "lists 257 volumes (VOLUME); podrun takes 256"} {
		var file v1.ConfigFile
		file.Config.Volumes = map[string]struct{}{}
		for i := range n {
			file.Config.Volumes[fmt.Sprintf("/v%d", i)] = struct{}{}
		}
		config, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = newCandidate([]byte("{}"), config, nil)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d volumes: got %v, want %q", n, err, want)
		}
	}
}
