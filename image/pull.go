package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	goruntime "runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// PullOptions are the choices of a pull; the zero value is the usual ones.
type PullOptions struct {
	// Insecure are registries (HOST or HOST:PORT) that may answer without TLS or
	// with a certificate that nobody vouches for. Those on loopback addresses may
	// answer without TLS in any case.
	Insecure []string
	// Credentials go before the keychain for the repositories that they match;
	// where several do, each is tried.
	Credentials []Credential
	// Keychain has the other credentials; nil: docker's config file, and podman's where
	// docker has none.
	Keychain authn.Keychain
	// Progress is told of each layer.
	Progress Progress

	again *again
}

// again is what a pull by digest mends.
type again struct {
	id         string          // of the image that it must bring
	references []string        // that the image has here
	damaged    map[string]bool // layers to be made anew, by name
	// mayReplace is asked of each of them when the new one is whole: nobody uses it.
	mayReplace func(layer string) error
}

// Pull makes the image of a reference present as its registry has it now, for
// this machine's platform. What is here is not downloaded again. The error is a
// *PullError, whose reason tells a bad name from a pull that did not work.
func (s *Store) Pull(ctx context.Context, reference string, o PullOptions) (*Image, error) {
	ref, err := parseReference(reference)
	if err != nil {
		return nil, err
	}
	if o.mayBePlain(ref.Context().RegistryStr()) {
		if ref, err = parseReference(reference, name.Insecure); err != nil {
			return nil, err
		}
	}
	end, err := s.begin(ctx)
	if err != nil {
		return nil, pullError(displayName(ref), ref, err)
	}
	defer end()
	logins, err := o.logins(ctx, ref)
	if err != nil {
		return nil, pullError(displayName(ref), ref, err)
	}
	var img *Image
	for _, auth := range logins {
		if img, err = s.pull(ctx, ref, o, auth); err == nil || !refused(err) {
			break
		}
	}
	if err != nil {
		return nil, pullError(displayName(ref), ref, err)
	}
	return img, nil
}

func (s *Store) pull(ctx context.Context, ref name.Reference, o PullOptions, auth authn.Authenticator) (*Image, error) {
	r, err := connect(ctx, ref, o, auth)
	if err != nil {
		return nil, err
	}
	found, err := r.resolve(ctx, machinePlatform())
	if err != nil {
		return nil, err
	}
	config, err := s.pullConfig(ctx, r, found.manifest.Config)
	if err != nil {
		return nil, fmt.Errorf("download image config: %w", err)
	}
	layers := make([]layerSource, 0, len(found.manifest.Layers))
	for _, d := range found.manifest.Layers {
		report := o.Progress.layer(d.Digest)
		layers = append(layers, layerSource{digest: d.Digest, open: func(ctx context.Context) (io.ReadCloser, error) {
			return r.openBlob(ctx, d, report)
		}})
	}
	c, err := newCandidate(found.data, config, layers)
	if err != nil {
		return nil, err
	}
	if err := checkPlatform(c.file, machinePlatform()); err != nil {
		return nil, err
	}
	c.digest, c.source = found.digest, Repository(displayName(ref))
	references := []string{displayName(ref)}
	if o.again != nil {
		if id := sha256Of(config).String(); id != o.again.id {
			return nil, fmt.Errorf("the registry has image %s there, not %s", id, o.again.id)
		}
		c.damaged, c.mayReplace, references = o.again.damaged, o.again.mayReplace, o.again.references
	}
	images, err := s.install(ctx, c, references, o.Progress)
	if err != nil {
		return nil, err
	}
	return images[0], nil
}

// pullConfig takes the config from the store where it is there.
func (s *Store) pullConfig(ctx context.Context, r *remote, d v1.Descriptor) ([]byte, error) {
	if data, err := os.ReadFile(s.blobPath(d.Digest)); err == nil && sha256Of(data) == d.Digest {
		return data, nil
	}
	if d.Size > maxConfig {
		return nil, fmt.Errorf("it has %d bytes; podrun takes %d", d.Size, maxConfig)
	}
	blob, err := r.openBlob(ctx, d, func(Stage, int64, int64) {})
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return io.ReadAll(blob)
}

// mayBePlain tells whether a registry may be asked without TLS.
func (o PullOptions) mayBePlain(registry string) bool {
	return isLoopback(registry) || o.insecure(registry)
}

func (o PullOptions) insecure(registry string) bool {
	for _, host := range o.Insecure {
		if host == registry || host == hostOf(registry) {
			return true
		}
	}
	return false
}

func isLoopback(registry string) bool {
	host := hostOf(registry)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func hostOf(registry string) string {
	if host, _, err := net.SplitHostPort(registry); err == nil {
		return host
	}
	return strings.Trim(registry, "[]")
}

// resolved is the manifest that a reference leads to on this platform.
type resolved struct {
	manifest *v1.Manifest
	data     []byte
	// digest of what the registry has under the reference: of the index, where
	// there is one, so that name@digest means the same on every machine.
	digest v1.Hash
}

// maxIndexDepth: indexes of indexes are legal, and nobody makes deeper ones.
const maxIndexDepth = 3

// resolve follows a reference to the image for a platform.
func (r *remote) resolve(ctx context.Context, want v1.Platform) (*resolved, error) {
	data, err := r.fetchManifest(ctx, r.ref.Identifier())
	if err != nil {
		return nil, err
	}
	top := sha256Of(data)
	for range maxIndexDepth {
		index, manifest, err := parseManifest(data)
		if err != nil {
			return nil, err
		}
		if manifest != nil {
			return &resolved{manifest: manifest, data: data, digest: top}, nil
		}
		d, err := pickPlatform(index, want)
		if err != nil {
			return nil, err
		}
		if data, err = r.fetchManifest(ctx, d.Digest.String()); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the image is an index of indexes without end")
}

// parseManifest tells an index from a manifest by what is in it: registries and
// tools have been seen to lie in the media type. Something that is both would
// mean different images to different readers (CVE-2021-41190), and is refused.
func parseManifest(data []byte) (*v1.IndexManifest, *v1.Manifest, error) {
	manifest, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, nil, fmt.Errorf("read image manifest: %w", err)
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(data))
	if err != nil {
		return nil, nil, fmt.Errorf("read image index: %w", err)
	}
	isManifest := manifest.Config.Digest.Hex != "" || len(manifest.Layers) > 0
	isIndex := len(index.Manifests) > 0 || index.MediaType.IsIndex()
	switch {
	case manifest.SchemaVersion == 1:
		return nil, nil, errors.New("the image is in Docker's schema 1 format, which was given up in 2017; have it built and pushed again")
	case isManifest && isIndex:
		return nil, nil, errors.New("the manifest is an image and an index at once")
	case isIndex:
		return index, nil, nil
	case !isManifest:
		return nil, nil, errors.New("the manifest names neither layers nor images")
	}
	return nil, manifest, checkManifest(manifest)
}

// checkManifest refuses what is no container image, and descriptors that no
// blob can match.
func checkManifest(m *v1.Manifest) error {
	switch m.Config.MediaType {
	case types.DockerConfigJSON, types.OCIConfigJSON, "":
	default:
		return fmt.Errorf("it is not a container image but a %s", m.Config.MediaType)
	}
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if d.Digest.Algorithm != "sha256" || len(d.Digest.Hex) != 64 || d.Size < 0 {
			return fmt.Errorf("the manifest names a blob %q of %d bytes", d.Digest, d.Size)
		}
		if !d.MediaType.IsDistributable() {
			return fmt.Errorf("layer %s is kept outside of the registry (%s)", d.Digest, d.MediaType)
		}
	}
	return nil
}

// machinePlatform is what this machine runs.
func machinePlatform() v1.Platform {
	return v1.Platform{OS: "linux", Architecture: goruntime.GOARCH, Variant: machineVariant(goruntime.GOARCH)}
}
