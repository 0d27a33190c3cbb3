package image

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	goruntime "runtime"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	ggcr "github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// handler is the in-process registry.
func handler() http.Handler {
	return registry.New(registry.Logger(log.New(io.Discard, "", 0)))
}

// serve starts an HTTP server on a loopback port and returns HOST:PORT.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// serveTLS has a certificate that nobody vouches for.
func serveTLS(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// layerOf makes a layer that is served with the given options, gzip by default.
func layerOf(t testing.TB, files []file, options ...tarball.LayerOption) v1.Layer {
	t.Helper()
	data := tarOf(t, files...)
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}, options...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func asZstd() []tarball.LayerOption {
	return []tarball.LayerOption{tarball.WithCompression(compression.ZStd), tarball.WithMediaType(types.OCILayerZStd)}
}

// imageOf makes an image for a platform, os/arch[/variant].
func imageOf(t testing.TB, platform string, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	p, err := v1.ParsePlatform(platform)
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Variant = p.OS, p.Architecture, p.Variant
	c.Config.Cmd = []string{"sh"}
	c.Config.Env = []string{"PATH=/bin", "NOVALUE", "=x", "EMPTY="}
	img, err = mutate.ConfigFile(img, c)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func here() string { return "linux/" + goruntime.GOARCH }

func push(t testing.TB, reference string, what ggcr.Taggable) {
	t.Helper()
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	switch what := what.(type) {
	case v1.Image:
		err = ggcr.Write(ref, what)
	case v1.ImageIndex:
		err = ggcr.WriteIndex(ref, what)
	default:
		t.Fatalf("push %T", what)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func pull(t testing.TB, s *Store, reference string, o PullOptions) *Image {
	t.Helper()
	img, err := s.Pull(t.Context(), reference, o)
	if err != nil {
		t.Fatal(err)
	}
	return img
}
