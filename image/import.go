package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	goruntime "runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"podrun/step"
)

// Import makes an image of one layer from the tar of a root filesystem, plain,
// gzip or zstd, and gives it the reference. changes are Dockerfile instructions:
// CMD, ENTRYPOINT, ENV, USER, WORKDIR, STOPSIGNAL, VOLUME. Importing the same
// content again changes nothing, not even the image's ID.
func (s *Store) Import(ctx context.Context, r io.Reader, reference string, changes []string) (*Image, error) {
	full, err := Normalize(reference)
	if err != nil {
		return nil, err
	}
	var config v1.Config
	for _, change := range changes {
		if err := applyChange(&config, change); err != nil {
			return nil, err
		}
	}
	end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	tree, err := s.unpackImport(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", full, err)
	}
	defer os.RemoveAll(tree.dir)
	c, err := s.importCandidate(tree, config, full)
	if err != nil {
		return nil, err
	}
	if err := s.place(ctx, c, tree); err != nil {
		return nil, fmt.Errorf("import %s: %w", full, err)
	}
	images, err := s.install(ctx, c, []string{full}, nil)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", full, err)
	}
	return images[0], nil
}

// CheckImport is what Import says of a reference and changes before it reads anything.
func CheckImport(reference string, changes []string) error {
	if _, err := Normalize(reference); err != nil {
		return err
	}
	var config v1.Config
	for _, change := range changes {
		if err := applyChange(&config, change); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) unpackImport(ctx context.Context, r io.Reader) (*tree, error) {
	defer step.Change("unpack layer")()
	parent, err := os.MkdirTemp(s.path("tmp"), "import-")
	if err != nil {
		return nil, err
	}
	dir := parent + ".tree"
	t, err := unpack(ctx, dir, r)
	if err == nil && t.archiveSize == 0 {
		err = errors.New("there is nothing to read; want the tar of a root filesystem")
	}
	if rmErr := os.Remove(parent); err == nil {
		err = rmErr
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return t, nil
}

// place puts an unpacked tree where install will find it.
func (s *Store) place(ctx context.Context, c *candidate, t *tree) error {
	j := newInstaller(s, c, nil).jobs[0]
	j.info.Size = t.size
	if present, err := j.find(s); present || err != nil {
		return err
	}
	defer j.release()
	if err := j.acquire(ctx, s); err != nil {
		return err
	}
	if present, err := j.find(s); present || err != nil {
		return err
	}
	j.tree = t
	return s.commit([]*job{j}, nil)
}

// importCandidate describes the image. Its time of creation is now, unless the
// reference names an image that is the same otherwise.
func (s *Store) importCandidate(t *tree, config v1.Config, full string) (*candidate, error) {
	if old, err := s.Get(full); err == nil {
		same, err := describe(t, config, old.Created)
		if err != nil || sha256Of(same.config).String() == old.ID {
			return same, err
		}
	}
	return describe(t, config, time.Now().UTC())
}

// describe writes config and manifest of an image of one layer, which is in the
// store already when the image is installed.
func describe(t *tree, config v1.Config, created time.Time) (*candidate, error) {
	file := v1.ConfigFile{
		Architecture: goruntime.GOARCH,
		OS:           "linux",
		Created:      v1.Time{Time: created},
		Config:       config,
		RootFS:       v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{t.diffID}},
		History:      []v1.History{{Created: v1.Time{Time: created}, CreatedBy: "podrun image import"}},
	}
	data, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	layer := v1.Descriptor{MediaType: types.OCIUncompressedLayer, Digest: t.diffID, Size: t.archiveSize}
	manifest, err := manifestFor(data, []v1.Descriptor{layer})
	if err != nil {
		return nil, err
	}
	gone := func(context.Context) (io.ReadCloser, error) { return nil, fs.ErrNotExist }
	return newCandidate(manifest, data, []layerSource{{digest: t.diffID, open: gone}})
}

// manifestFor writes the manifest of an image that came without one.
func manifestFor(config []byte, layers []v1.Descriptor) ([]byte, error) {
	return json.Marshal(v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		Config:        v1.Descriptor{MediaType: types.OCIConfigJSON, Digest: sha256Of(config), Size: int64(len(config))},
		Layers:        layers,
	})
}
