package image

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// FuzzConfig: whatever a config says, what comes of it keeps the promises that
// others rely on: variables are NAME=VALUE, layers as many as the manifest's.
func FuzzConfig(f *testing.F) {
	digest := sha256Of([]byte("x"))
	f.Add([]byte(`{"os":"linux","config":{"Env":["A=b","HOME","=x",""],"User":"0:0","WorkingDir":"../..","Volumes":{"/v":{}}},"rootfs":{"type":"layers","diff_ids":["`+digest.String()+`"]}}`), `ENV A="b c" D=e`)
	f.Add([]byte(`{"rootfs":{"diff_ids":["sha256:../../x"]}}`), `CMD ["a", "b"]`)
	f.Add([]byte(`{"created":"-9999","config":{"Env":null,"Cmd":[null]}}`), "VOLUME /a /b")
	f.Fuzz(func(t *testing.T, config []byte, change string) {
		for layers := range 3 {
			c, err := newCandidate([]byte("{}"), config, make([]layerSource, layers))
			if err != nil {
				continue
			}
			img := c.image()
			for _, e := range img.Config.Env {
				if name, _, found := strings.Cut(e, "="); !found || name == "" {
					t.Errorf("variable %q is taken", e)
				}
			}
			names := newInstaller(&Store{dir: "/x"}, c, nil).layers()
			if len(names) != layers {
				t.Errorf("%d layers, want %d", len(names), layers)
			}
			for _, name := range names {
				if len(name) != 24 || strings.Trim(name, "0123456789abcdef") != "" {
					t.Errorf("layer %q", name)
				}
			}
			_ = checkPlatform(c.file, machinePlatform())
		}
		var c v1.Config
		if applyChange(&c, change) == nil {
			for _, e := range c.Env {
				if strings.Index(e, "=") < 1 {
					t.Errorf("change %q makes the variable %q", change, e)
				}
			}
		}
	})
}

// FuzzManifest: what is taken for a manifest or an index names blobs by digests
// that are file names, and leads to one image at most.
func FuzzManifest(f *testing.F) {
	digest := sha256Of([]byte("x")).String()
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"` + digest + `","size":2},"layers":[{"digest":"` + digest + `","size":-1}]}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"` + digest + `","size":2,"platform":{"os":"linux","architecture":"amd64","variant":"v9"}},{"digest":"` + digest + `"}]}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{}],"layers":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		index, manifest, err := parseManifest(data)
		if err != nil {
			return
		}
		if (index == nil) == (manifest == nil) {
			t.Fatal("neither one nor the other")
		}
		if index != nil {
			_, _ = pickPlatform(index, machinePlatform())
			return
		}
		for _, d := range append([]v1.Descriptor{manifest.Config}, manifest.Layers...) {
			if d.Digest.Algorithm != "sha256" || len(d.Digest.Hex) != 64 || strings.ContainsAny(d.Digest.Hex, "./") || d.Size < 0 {
				t.Errorf("blob %q of %d bytes is taken", d.Digest, d.Size)
			}
		}
	})
}

// FuzzRecord: a record is read as it was written, or not at all.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"reference":"docker.io/library/a:b","id":"sha256:1","layers":["x"]}`))
	f.Add(seal([]byte(`{"version":1,"layers":["../../../etc"]}`)))
	f.Add(seal([]byte(`{"version":2}`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		s := &Store{dir: dir}
		if err := os.MkdirAll(s.path("references"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.path("references", "x.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		img, err := s.readRecord("x.json")
		if err != nil {
			return
		}
		for _, layer := range img.Layers {
			if filepath.Dir(layer) != s.path("layers") {
				t.Errorf("layer %s is outside of the store", layer)
			}
		}
		if _, _, err := s.records(); err != nil {
			t.Errorf("list: %v", err)
		}
	})
}

// FuzzInventory: an inventory that is not the layer's is told from it, without an end
// of the program.
func FuzzInventory(f *testing.F) {
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a b"), []byte("x"), 0o600); err != nil {
		f.Fatal(err)
	}
	var whole bytes.Buffer
	if err := walk(dir, func(path, fields string) error {
		whole.WriteString(line(path, fields))
		return nil
	}); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Add([]byte("\".\" directory\n"))
	f.Add([]byte("\"../../..\" file 0644 0:0 - - - - - -\n"))
	f.Fuzz(func(t *testing.T, inventory []byte) {
		err := compare(dir, bufio.NewReader(bytes.NewReader(inventory)))
		if (err == nil) != bytes.Equal(inventory, whole.Bytes()) {
			t.Errorf("compare = %v", err)
		}
	})
}
