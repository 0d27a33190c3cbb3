package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func twoLayers(t *testing.T) v1.Image {
	return imageOf(t, here(), layerOf(t, []file{{name: "a", body: "a"}, {name: "b", body: "b"}}), layerOf(t, []file{{name: ".wh.b"}}))
}

func wantTwoLayers(t *testing.T, want v1.Image, got *Image) {
	t.Helper()
	id, err := want.ConfigName()
	if err != nil || got.ID != id.String() {
		t.Errorf("ID = %s, want %s, %v", got.ID, id, err)
	}
	root := mountImage(t, got)
	wantFile(t, filepath.Join(root, "a"), "a")
	if _, err := os.Lstat(filepath.Join(root, "b")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("b = %v, want it hidden", err)
	}
}

// dockerArchive is what docker save writes: each image with its names.
func dockerArchive(t *testing.T, images map[string]v1.Image) []byte {
	t.Helper()
	byTag := map[name.Tag]v1.Image{}
	for reference, img := range images {
		tag, err := name.NewTag(reference)
		if err != nil {
			t.Fatal(err)
		}
		byTag[tag] = img
	}
	var b bytes.Buffer
	if err := tarball.MultiWrite(byTag, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// ociLayout writes an index into a new directory.
func ociLayout(t *testing.T, index v1.ImageIndex) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := layout.Write(dir, index); err != nil {
		t.Fatal(err)
	}
	return dir
}

func annotated(img v1.Image, key, value string, platform *v1.Platform) mutate.IndexAddendum {
	return mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Annotations: map[string]string{key: value}, Platform: platform}}
}

func tarOfDirectory(t *testing.T, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeTemp(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	img := twoLayers(t)
	other := imageOf(t, here(), layerOf(t, []file{{name: "other"}}))
	const refName = "org.opencontainers.image.ref.name"
	docker := dockerArchive(t, map[string]v1.Image{"app:1": img, "app:2": img, "registry.example/other": other})
	named := ociLayout(t, mutate.AppendManifests(empty.Index, annotated(img, refName, "app:1", nil)))
	full := ociLayout(t, mutate.AppendManifests(empty.Index, annotated(img, "io.containerd.image.name", "app:1", nil)))
	tagOnly := ociLayout(t, mutate.AppendManifests(empty.Index, annotated(img, refName, "latest", nil)))
	foreign := annotated(imageOf(t, "linux/s390x", layerOf(t, []file{{name: "z"}})), "x", "y", &v1.Platform{OS: "linux", Architecture: "s390x"})
	platforms := mutate.AppendManifests(empty.Index, foreign, annotated(img, "x", "y", &v1.Platform{OS: "linux", Architecture: machinePlatform().Architecture}))
	nested := ociLayout(t, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: platforms, Descriptor: v1.Descriptor{Annotations: map[string]string{refName: "app:1"}}}))
	app := []string{"docker.io/library/app:1"}
	tests := map[string]struct {
		data []byte
		dir  string
		want []string // references, sorted
	}{
		"docker":        {data: docker, want: []string{"docker.io/library/app:1", "docker.io/library/app:2", "registry.example/other:latest"}},
		"docker gzip":   {data: gzipped(t, docker), want: []string{"docker.io/library/app:1", "docker.io/library/app:2", "registry.example/other:latest"}},
		"layout":        {dir: named, want: app},
		"layout tar":    {data: tarOfDirectory(t, named), want: app},
		"layout zstd":   {data: zstandard(t, tarOfDirectory(t, named)), want: app},
		"containerd's":  {dir: full, want: app},
		"without name":  {dir: tagOnly, want: []string{""}},
		"nested index":  {dir: nested, want: app},
		"all platforms": {dir: ociLayout(t, platforms), want: []string{""}},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			if tt.data != nil {
				tt.dir = writeTemp(t, tt.data)
				s := newStore(t)
				images, err := s.LoadStream(t.Context(), bytes.NewReader(tt.data))
				if err != nil || len(images) != len(tt.want) {
					t.Errorf("LoadStream = %v, %v", images, err)
				}
				wantTidy(t, s)
			}
			s := newStore(t)
			images, err := s.Load(t.Context(), tt.dir)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, i := range images {
				got = append(got, i.Reference)
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("references = %q, want %q", got, tt.want)
			}
			id, err := img.ConfigName()
			if err != nil {
				t.Fatal(err)
			}
			found, err := s.Get(id.String())
			if err != nil {
				t.Fatal(err)
			}
			wantTwoLayers(t, img, found)
			wantTidy(t, s)
		})
	}
}

// TestLoadOldDockerArchive: docker before 25 shared layers by symlink.
func TestLoadOldDockerArchive(t *testing.T) {
	layer := tarOf(t, file{name: "a", body: "a"})
	diffID := sha256Of(layer).String()
	config := `{"architecture":"` + machinePlatform().Architecture + `","os":"linux","rootfs":{"type":"layers","diff_ids":["` + diffID + `","` + diffID + `"]}}`
	archive := tarOf(t,
		file{name: "1/layer.tar", body: string(layer)}, file{name: "2/layer.tar", kind: tar.TypeSymlink, body: "../1/layer.tar"},
		file{name: "c.json", body: config},
		file{name: "manifest.json", body: `[{"Config":"c.json","RepoTags":null,"Layers":["1/layer.tar","2/layer.tar"]}]`})
	images, err := newStore(t).LoadStream(t.Context(), bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, filepath.Join(mountImage(t, images[0]), "a"), "a")
}

func TestLoadErrors(t *testing.T) {
	img := twoLayers(t)
	damaged := ociLayout(t, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img}))
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[1].Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(damaged, "blobs", "sha256", digest.Hex), gzipped(t, tarOf(t, file{name: "forged"})), 0o600); err != nil {
		t.Fatal(err)
	}
	forged := sha256Of([]byte("x")).String()
	layer := file{name: "l.tar", body: string(tarOf(t, file{name: "a"}))}
	manifest := file{name: "manifest.json", body: `[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l.tar"]}]`}
	config := func(arch, diffID string) file {
		return file{name: "c.json", body: `{"architecture":"` + arch + `","os":"linux","rootfs":{"type":"layers","diff_ids":["` + diffID + `"]}}`}
	}
	arch := machinePlatform().Architecture
	tests := map[string]struct {
		path string
		want string
	}{
		"no such file":      {filepath.Join(t.TempDir(), "x"), "no such file"},
		"blob not its own":  {damaged, "blob " + digest.String()},
		"nothing in it":     {t.TempDir(), "neither the manifest.json"},
		"a root filesystem": {writeTemp(t, tarOf(t, file{name: "bin/sh"})), "podrun image import"},
		"not JSON":          {writeTemp(t, tarOf(t, file{name: "manifest.json", body: "{"})), "read manifest.json"},
		"config not JSON":   {writeTemp(t, tarOf(t, manifest, layer, file{name: "c.json", body: "["})), "read image config"},
		"config missing":    {writeTemp(t, tarOf(t, manifest, layer)), "c.json"},
		"layer missing":     {writeTemp(t, tarOf(t, manifest, config(arch, forged))), "l.tar"},
		"lying diff ID":     {writeTemp(t, tarOf(t, manifest, layer, config(arch, forged))), "damaged or forged"},
		"diff ID no digest": {writeTemp(t, tarOf(t, manifest, layer, config(arch, "sha256:../../x"))), "read image config"},
		"other platform":    {writeTemp(t, tarOf(t, manifest, layer, config("s390x", sha256Of([]byte(layer.body)).String()))), "it exists for linux/s390x"},
		"a link to itself":  {writeTemp(t, tarOf(t, manifest, layer, file{name: "c.json", kind: tar.TypeSymlink, body: "c.json"})), "too many links"},
		"a bad name":        {writeTemp(t, tarOf(t, file{name: "manifest.json", body: `[{"Config":"c.json","RepoTags":["A B"],"Layers":["l.tar"]}]`}, layer, config(arch, forged))), "blanks"},
	}
	for what, tt := range tests {
		s := newStore(t)
		if _, err := s.Load(t.Context(), tt.path); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", what, err, tt.want)
		}
		if list, err := s.List(); len(list) > 0 || err != nil {
			t.Errorf("%s: the store has %v, %v", what, list, err)
		}
		wantTidy(t, s)
	}
}

// TestDirectoryStaysInside: a symlink in a layout leads nowhere else.
func TestDirectoryStaysInside(t *testing.T) {
	outside := writeTemp(t, []byte("[]"))
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "manifest.json")); err != nil {
		t.Fatal(err)
	}
	s := newStore(t)
	if _, err := s.Load(t.Context(), dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load = %v, want that the path escapes", err)
	}
}

// FuzzFindImages reads archives that mean harm: no panic, whatever they say.
func FuzzFindImages(f *testing.F) {
	f.Add([]byte(`[{"Config":"c","Layers":["l"]}]`), []byte(`{}`), []byte(`{"rootfs":{"diff_ids":["sha256:00"]}}`))
	f.Add([]byte(``), []byte(`{"manifests":[{"digest":"sha256:00","size":-1}]}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, manifest, index, config []byte) {
		files := []file{{name: "index.json", body: string(index)}, {name: "c", body: string(config)}, {name: "l", body: "l"}}
		if len(manifest) > 0 {
			files = append(files, file{name: "manifest.json", body: string(manifest)})
		}
		archive, err := os.Open(writeTemp(t, tarOf(t, files...)))
		if err != nil {
			t.Fatal(err)
		}
		tarball, err := openTarball(archive)
		if err != nil {
			t.Fatal(err)
		}
		defer tarball.Close()
		if found, err := findImages(tarball); err == nil {
			for _, l := range found {
				_ = checkPlatform(l.file, machinePlatform())
			}
		}
		_, _, _ = parseManifest(index)
	})
}
