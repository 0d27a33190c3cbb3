package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	ggcr "github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// TestPull covers the media types: Docker's and OCI's manifests, gzip, zstd and
// plain layers, tags and digests.
func TestPull(t *testing.T) {
	host := serve(t, handler())
	docker := imageOf(t, here(), layerOf(t, []file{{name: "a", body: "gzip"}}), layerOf(t, []file{{name: "b", body: "zstd"}}, asZstd()...),
		static.NewLayer(tarOf(t, file{name: "c", body: "plain"}), types.DockerUncompressedLayer))
	oci := mutate.ConfigMediaType(mutate.MediaType(docker, types.OCIManifestSchema1), types.OCIConfigJSON)
	for kind, img := range map[string]v1.Image{"docker": docker, "oci": oci} {
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		push(t, host+"/test/"+kind+":1", img)
		for _, ref := range []string{host + "/test/" + kind + ":1", host + "/test/" + kind + "@" + digest.String(), host + "/test/" + kind + ":gone@" + digest.String()} {
			t.Run(strings.TrimPrefix(ref, host), func(t *testing.T) {
				s := newStore(t)
				got := pull(t, s, ref, PullOptions{})
				id, err := img.ConfigName()
				if err != nil {
					t.Fatal(err)
				}
				if got.ID != id.String() || got.Digest != digest.String() || got.Manifest != got.Digest || got.Size != 13 {
					t.Errorf("pulled %+v, want ID %s, digest %s, 13 bytes", got, id, digest)
				}
				if want := []string{"PATH=/bin", "EMPTY="}; !slices.Equal(got.Config.Env, want) {
					t.Errorf("Env = %q, want %q", got.Config.Env, want)
				}
				root := mountImage(t, got)
				for file, want := range map[string]string{"a": "gzip", "b": "zstd", "c": "plain"} {
					wantFile(t, filepath.Join(root, file), want)
				}
				again, err := s.Get(ref)
				if err != nil || again.ID != got.ID || again.Reference != got.Reference {
					t.Errorf("Get = %+v, %v; want what was pulled", again, err)
				}
				wantTidy(t, s)
			})
		}
	}
}

func TestPullOfPlatforms(t *testing.T) {
	host := serve(t, handler())
	mine := imageOf(t, here(), layerOf(t, []file{{name: "mine"}}))
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: imageOf(t, "linux/s390x", layerOf(t, []file{{name: "s390x"}})), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}},
		mutate.IndexAddendum{Add: mine, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: goruntime.GOARCH}}},
		mutate.IndexAddendum{Add: imageOf(t, "windows/amd64", layerOf(t, []file{{name: "windows"}})), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "windows", Architecture: "amd64"}}},
	)
	push(t, host+"/multi:1", index)
	push(t, host+"/other:1", mutate.RemoveManifests(index, func(d v1.Descriptor) bool {
		return d.Platform.OS == "linux" && d.Platform.Architecture == goruntime.GOARCH
	}))
	push(t, host+"/single:1", imageOf(t, "linux/s390x", layerOf(t, []file{{name: "s390x"}})))

	s := newStore(t)
	got := pull(t, s, host+"/multi:1", PullOptions{})
	wantFile(t, filepath.Join(got.Layers[0], "mine"), "")
	indexDigest, _ := index.Digest()
	manifestDigest, _ := mine.Digest()
	if got.Digest != indexDigest.String() || got.Manifest != manifestDigest.String() {
		t.Errorf("digests %s, %s; want the index's %s and the manifest's %s", got.Digest, got.Manifest, indexDigest, manifestDigest)
	}
	for ref, want := range map[string]string{"/other:1": "linux/s390x, windows/amd64", "/single:1": "linux/s390x"} {
		_, err := s.Pull(t.Context(), host+ref, PullOptions{})
		if err == nil || !strings.Contains(err.Error(), "no image for this machine, "+here()+"; it exists for "+want) {
			t.Errorf("Pull(%s) = %v, want what exists: %s", ref, err, want)
		}
	}
}

func TestPullErrors(t *testing.T) {
	host := serve(t, handler())
	push(t, host+"/there:1", imageOf(t, here(), layerOf(t, []file{{name: "a"}})))
	answering := func(status int, body string) string {
		return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				w.WriteHeader(status)
				fmt.Fprint(w, body)
			}
		}))
	}
	closed := httptest.NewServer(handler())
	closed.Close()
	tlsServer := serveTLS(t, handler())
	tests := []struct {
		ref, reason string
		want        []string // parts of the message
	}{
		{"", ReasonInvalidImageName, []string{"empty"}},
		{"Busybox", ReasonInvalidImageName, []string{"lower case"}},
		{"https://docker.io/busybox", ReasonInvalidImageName, []string{"leave out https://"}},
		{"a b", ReasonInvalidImageName, []string{"blanks"}},
		{"x@sha256:12", ReasonInvalidImageName, []string{"not an image name"}},
		{host + "/there:2", ReasonErrImagePull, []string{"not found", host, "no 2 of image there", "check name and tag"}},
		{host + "/gone", ReasonErrImagePull, []string{"not found", host, "no image gone", "check the name"}},
		{answering(401, "") + "/x", ReasonErrImagePull, []string{"docker login"}},
		{answering(403, `{"errors":[{"code":"DENIED"}]}`) + "/x", ReasonErrImagePull, []string{"needs a login"}},
		{answering(429, `{"errors":[{"code":"TOOMANYREQUESTS"}]}`) + "/x", ReasonErrImagePull, []string{"too many requests"}},
		{answering(418, "") + "/x", ReasonErrImagePull, []string{"trouble", "try again"}},
		{answering(200, "{") + "/x", ReasonErrImagePull, []string{"read image manifest"}},
		{answering(200, "{}") + "/x", ReasonErrImagePull, []string{"neither layers nor images"}},
		{answering(200, `{"schemaVersion":1}`) + "/x", ReasonErrImagePull, []string{"schema 1"}},
		{closed.Listener.Addr().String() + "/x", ReasonErrImagePull, []string{"cannot be reached", "connection refused", "check the name"}},
		{"podrun-test.invalid/x", ReasonErrImagePull, []string{"cannot be reached", "podrun-test.invalid"}},
		{tlsServer.Listener.Addr().String() + "/x", ReasonErrImagePull, []string{"certificate", "--insecure"}},
	}
	s := newStore(t)
	for _, tt := range tests {
		_, err := s.Pull(t.Context(), tt.ref, PullOptions{})
		var pullErr *PullError
		if !errors.As(err, &pullErr) || pullErr.Reason != tt.reason {
			t.Errorf("Pull(%q) = %v, want a PullError with reason %s", tt.ref, err, tt.reason)
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("Pull(%q) = %v, want %q in it", tt.ref, err, part)
			}
		}
	}
	if list, err := s.List(); len(list) > 0 || err != nil {
		t.Errorf("List = %v, %v after pulls that did not work", list, err)
	}
	wantTidy(t, s)
}

// TestInsecure: plain HTTP is for loopback and for those that are named, and a
// certificate that nobody vouches for is for those that are named.
func TestInsecure(t *testing.T) {
	for registry, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "a.localhost:1": true, "127.0.0.1:1": true, "127.9.9.9": true, "[::1]:5000": true, "[::1]": true,
		"10.0.0.1:5000": false, "localhost.example.com": false, "docker.io": false, "named:5000": true, "host.example": true, "host.example:1": true,
	} {
		o := PullOptions{Insecure: []string{"named:5000", "host.example"}}
		if got := o.mayBePlain(registry); got != want {
			t.Errorf("mayBePlain(%q) = %v, want %v", registry, got, want)
		}
	}
	guard := &schemeGuard{host: "10.0.0.1:5000"}
	request, err := http.NewRequest(http.MethodGet, "http://10.0.0.1:5000/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := guard.RoundTrip(request); !errors.Is(err, errPlain) {
		t.Errorf("plain HTTP to a private address = %v, want %v", err, errPlain)
	}

	server := serveTLS(t, handler())
	host := server.Listener.Addr().String()
	ref, err := name.ParseReference(host + "/x:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := ggcr.Write(ref, imageOf(t, here(), layerOf(t, []file{{name: "a"}})), ggcr.WithTransport(server.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	pull(t, newStore(t), host+"/x:1", PullOptions{Insecure: []string{host}})
}

func TestCredentials(t *testing.T) {
	inner := handler()
	var open atomic.Bool
	open.Store(true)
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); !open.Load() && (user != "me" || password != "secret") {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	push(t, host+"/private:1", imageOf(t, here(), layerOf(t, []file{{name: "a"}})))
	open.Store(false)

	home := t.TempDir()
	t.Setenv("HOME", filepath.Join(home, "nobody"))
	t.Setenv("DOCKER_CONFIG", home)
	s := newStore(t)
	if _, err := s.Pull(t.Context(), host+"/private:1", PullOptions{}); err == nil || !strings.Contains(err.Error(), "docker login "+host) {
		t.Errorf("Pull without credentials = %v, want advice to log in", err)
	}
	config := fmt.Sprintf(`{"auths":{%q:{"auth":"bWU6c2VjcmV0"}}}`, host) // me:secret
	if err := os.WriteFile(filepath.Join(home, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	pull(t, s, host+"/private:1", PullOptions{})
	pull(t, newStore(t), host+"/private:1", PullOptions{Keychain: authn.NewMultiKeychain(keychain{"me", "secret"})})
}

type keychain struct{ user, password string }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: k.user, Password: k.password}, nil
}

// counting counts the requests for blobs.
type counting struct {
	http.Handler
	mu    sync.Mutex
	blobs map[string]int
}

func (c *counting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
		c.mu.Lock()
		if c.blobs == nil {
			c.blobs = map[string]int{}
		}
		c.blobs[r.URL.Path]++
		c.mu.Unlock()
	}
	c.Handler.ServeHTTP(w, r)
}

// TestPullAgain: what is there is not downloaded, the layers that two images
// share neither; a reference follows its tag.
func TestPullAgain(t *testing.T) {
	counter := &counting{Handler: handler()}
	host := serve(t, counter)
	shared := layerOf(t, []file{{name: "shared", body: "x"}})
	first := imageOf(t, here(), shared)
	second := imageOf(t, here(), shared, layerOf(t, []file{{name: "new", body: "y"}}))
	push(t, host+"/x:1", first)
	s := newStore(t)
	old := pull(t, s, host+"/x:1", PullOptions{})
	pull(t, s, host+"/x:1", PullOptions{})
	push(t, host+"/x:1", second)
	var events []Event
	var mu sync.Mutex
	got := pull(t, s, host+"/x:1", PullOptions{Progress: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}})
	for path, n := range counter.blobs {
		if n > 1 {
			t.Errorf("%s was downloaded %d times", path, n)
		}
	}
	if got.Layers[0] != old.Layers[0] || len(got.Layers) != 2 {
		t.Errorf("layers %v, want the one of %v and another", got.Layers, old.Layers)
	}
	wantEvents(t, second, events)
	if list, err := s.List(); err != nil || len(list) != 2 || list[0].ID != got.ID || list[1].Reference != "" {
		t.Errorf("List = %v, %v; want the new image by name and the old one by ID", list, err)
	}
	// What somebody removed by hand comes back.
	if err := os.RemoveAll(got.Layers[1]); err != nil {
		t.Fatal(err)
	}
	if err := Mount(got, t.TempDir(), filepath.Join(t.TempDir(), "rw")); err == nil || !strings.Contains(err.Error(), "podrun image check --repair") {
		t.Errorf("Mount without a layer = %v, want advice to pull", err)
	}
	pull(t, s, host+"/x:1", PullOptions{})
	wantFile(t, filepath.Join(got.Layers[1], "new"), "y")
}

// wantEvents wants the first layer present, and the second from its start to its end.
func wantEvents(t *testing.T, img v1.Image, events []Event) {
	t.Helper()
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var stages [2][]Stage
	for _, e := range events {
		for i, d := range manifest.Layers {
			if d.Digest.String() == e.Layer {
				stages[i] = append(stages[i], e.Stage)
				if e.Stage == StageDownloading && e.Total != d.Size {
					t.Errorf("event %+v, want a total of %d", e, d.Size)
				}
			}
		}
	}
	if !slices.Equal(stages[0], []Stage{StagePresent}) {
		t.Errorf("stages of the shared layer = %v, want present", stages[0])
	}
	if got := slices.Compact(stages[1]); !slices.Equal(got, []Stage{StageDownloading, StageDone}) {
		t.Errorf("stages of the new layer = %v, want downloading, done", got)
	}
}

// TestPullGoesOn: a connection that breaks costs what had not arrived, with a
// registry that does ranges and with one that does not.
func TestPullGoesOn(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 16<<10)
	for _, ranges := range []bool{true, false} {
		inner := handler()
		var breaks atomic.Int32
		host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !ranges {
				r.Header.Del("Range")
			}
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && breaks.Add(1) <= 4 {
				w = &breaking{ResponseWriter: w, left: 50_000}
			}
			inner.ServeHTTP(w, r)
		}))
		push(t, host+"/x:1", imageOf(t, here(), static.NewLayer(tarOf(t, file{name: "a", body: body}), types.DockerUncompressedLayer)))
		got := pull(t, newStore(t), host+"/x:1", PullOptions{})
		wantFile(t, filepath.Join(got.Layers[0], "a"), body)
		if breaks.Load() < 4 {
			t.Errorf("the connection broke %d times, want more: the test tests nothing", breaks.Load())
		}
	}
}

// breaking cuts the connection after some bytes.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if len(p) > b.left {
		_, _ = b.ResponseWriter.Write(p[:b.left])
		_ = http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	b.left -= len(p)
	return b.ResponseWriter.Write(p)
}

func TestPullInterrupted(t *testing.T) {
	inner := handler()
	ctx, cancel := context.WithCancel(t.Context())
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && ctx.Err() == nil {
			defer cancel()
		}
		inner.ServeHTTP(w, r)
	}))
	push(t, host+"/x:1", imageOf(t, here(), layerOf(t, []file{{name: "a", body: "a"}})))
	s := newStore(t)
	if _, err := s.Pull(ctx, host+"/x:1", PullOptions{}); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("Pull = %v, want that it was interrupted", err)
	}
	wantTidy(t, s)
	wantFile(t, filepath.Join(pull(t, s, host+"/x:1", PullOptions{}).Layers[0], "a"), "a")
}
