package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Load takes the images of a docker archive (docker save, its old and its new
// form) or an OCI layout into the store: from a directory, or from a tar, plain,
// gzip or zstd. The names in it become references; an image without one has its
// ID only. Images for other platforms are left out.
func (s *Store) Load(ctx context.Context, name string) ([]*Image, error) {
	return s.load(ctx, name, func() (archiveFiles, error) { return s.openArchive(ctx, name) })
}

// LoadStream is Load of a tar that can be read once.
func (s *Store) LoadStream(ctx context.Context, r io.Reader) ([]*Image, error) {
	return s.load(ctx, "stream", func() (archiveFiles, error) { return s.spool(ctx, r) })
}

func (s *Store) load(ctx context.Context, name string, open func() (archiveFiles, error)) ([]*Image, error) {
	end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	files, err := open()
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", name, err)
	}
	defer files.Close()
	found, err := findImages(files)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", name, err)
	}
	var images []*Image
	for _, l := range found {
		if err := checkPlatform(l.candidate.file, machinePlatform()); err != nil {
			return images, fmt.Errorf("load %s: %w", name, err)
		}
		loaded, err := s.install(ctx, l.candidate, l.references, nil)
		if err != nil {
			return images, fmt.Errorf("load %s: %w", name, err)
		}
		images = append(images, loaded...)
	}
	return images, nil
}

// loadable is an image found in an archive.
type loadable struct {
	*candidate
	references []string
}

// findImages prefers manifest.json: docker writes both, and only there the
// names are complete.
func findImages(files archiveFiles) ([]loadable, error) {
	data, err := readSmall(files, "manifest.json", maxManifest)
	if err == nil {
		return dockerImages(files, data)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	data, err = readSmall(files, "index.json", maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("it has neither the manifest.json of a docker archive nor the index.json of an OCI layout; for the tar of a root filesystem use 'podrun image import'")
	}
	if err != nil {
		return nil, err
	}
	return layoutImages(files, data)
}

// maxArchiveText bounds the manifests and configs of an archive, which are in
// memory together: a small list can name one of them any number of times.
const maxArchiveText = 128 << 20

var errArchiveText = fmt.Errorf("%w: its images have more than %d MiB of manifests and configs", errForged, maxArchiveText>>20)

func (c *candidate) textSize() int { return len(c.manifest) + len(c.config) }

func dockerImages(files archiveFiles, data []byte) ([]loadable, error) {
	var list []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("read manifest.json: %w", err)
	}
	var found []loadable
	var text int
	for _, entry := range list {
		config, err := readSmall(files, entry.Config, maxConfig)
		if err != nil {
			return nil, err
		}
		c, err := dockerCandidate(files, config, entry.Layers)
		if err != nil {
			return nil, err
		}
		if text += c.textSize(); text > maxArchiveText {
			return nil, errArchiveText
		}
		l := loadable{candidate: c}
		for _, tag := range entry.RepoTags {
			full, err := Normalize(tag)
			if err != nil {
				return nil, err
			}
			l.references = append(l.references, full)
		}
		found = append(found, l)
	}
	return found, nil
}

// dockerCandidate reads an image that has no manifest of its own. Its layers
// are verified by their diff IDs alone.
func dockerCandidate(files archiveFiles, config []byte, names []string) (*candidate, error) {
	layers := make([]layerSource, len(names))
	c, err := newCandidate(nil, config, layers)
	if err != nil {
		return nil, err
	}
	descriptors := make([]v1.Descriptor, len(names))
	for i, name := range names {
		f, size, err := files.open(name)
		if err != nil {
			return nil, err
		}
		f.Close()
		diffID := c.file.RootFS.DiffIDs[i]
		descriptors[i] = v1.Descriptor{MediaType: types.OCIUncompressedLayer, Digest: diffID, Size: size}
		layers[i] = layerSource{digest: diffID, open: func(context.Context) (io.ReadCloser, error) {
			f, _, err := files.open(name)
			return f, err
		}}
	}
	manifest, err := manifestFor(config, descriptors)
	if err != nil {
		return nil, err
	}
	return newCandidate(manifest, config, layers)
}

// layoutImages reads an OCI layout: each entry of its index is an image, or the
// index of one for several platforms.
func layoutImages(files archiveFiles, data []byte) ([]loadable, error) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read index.json: %w", err)
	}
	var found []loadable
	var offered []string
	var text int
	for _, d := range index.Manifests {
		if p := d.Platform; isAttestation(d) || p != nil && rank(*p, machinePlatform()) < 0 {
			if p != nil {
				offered = append(offered, platformName(*p))
			}
			continue
		}
		c, err := layoutCandidate(files, d)
		if err != nil {
			return nil, err
		}
		if text += c.textSize(); text > maxArchiveText {
			return nil, errArchiveText
		}
		references, err := layoutNames(d.Annotations)
		if err != nil {
			return nil, err
		}
		found = append(found, loadable{candidate: c, references: references})
	}
	if len(found) == 0 {
		return nil, wrongPlatform(offered, machinePlatform())
	}
	return found, nil
}

func layoutCandidate(files archiveFiles, d v1.Descriptor) (*candidate, error) {
	top := d.Digest
	for range maxIndexDepth {
		data, err := readLayoutBlob(files, d, maxManifest)
		if err != nil {
			return nil, err
		}
		index, manifest, err := parseManifest(data)
		if err != nil {
			return nil, err
		}
		if manifest == nil {
			if d, err = pickPlatform(index, machinePlatform()); err != nil {
				return nil, err
			}
			continue
		}
		config, err := readLayoutBlob(files, manifest.Config, maxConfig)
		if err != nil {
			return nil, err
		}
		layers := make([]layerSource, 0, len(manifest.Layers))
		for _, layer := range manifest.Layers {
			layers = append(layers, layerSource{digest: layer.Digest, open: func(context.Context) (io.ReadCloser, error) {
				return openLayoutBlob(files, layer)
			}})
		}
		c, err := newCandidate(data, config, layers)
		if err == nil {
			c.digest = top
		}
		return c, err
	}
	return nil, errors.New("the image is an index of indexes without end")
}

func openLayoutBlob(files archiveFiles, d v1.Descriptor) (io.ReadCloser, error) {
	if d.Digest.Algorithm != "sha256" || len(d.Digest.Hex) != 64 {
		return nil, fmt.Errorf("the layout names a blob %q; want sha256:…", d.Digest)
	}
	f, _, err := files.open(path.Join("blobs", d.Digest.Algorithm, d.Digest.Hex))
	if err != nil {
		return nil, err
	}
	return newDigestReader(f, d), nil
}

func readLayoutBlob(files archiveFiles, d v1.Descriptor, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, fmt.Errorf("blob %s has %d bytes; podrun takes %d", d.Digest, d.Size, limit)
	}
	f, err := openLayoutBlob(files, d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// layoutNames finds an image's name in its annotations: containerd's, which is
// complete, or else OCI's, which may be a mere tag ("latest") and then names
// nothing.
func layoutNames(annotations map[string]string) ([]string, error) {
	name := annotations["io.containerd.image.name"]
	if name == "" {
		name = annotations["org.opencontainers.image.ref.name"]
		if !strings.ContainsAny(name, "/:") {
			return nil, nil
		}
	}
	full, err := Normalize(name)
	if err != nil {
		return nil, err
	}
	return []string{full}, nil
}
