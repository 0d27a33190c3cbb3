package image

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// remote is one repository of a registry, logged in to.
type remote struct {
	ref    name.Reference
	client *http.Client
}

// Patience with a registry. Retries are for what passes by itself: a kubelet
// backs off between pulls for the rest.
const (
	dialTimeout   = 10 * time.Second
	headerTimeout = 60 * time.Second
	// stallTimeout is how long a download may bring no byte.
	stallTimeout = 60 * time.Second
)

var retries = transport.Backoff{Duration: time.Second, Factor: 3, Jitter: 0.1, Steps: 3}

// connect finds out how the registry wants to be spoken to, and logs in.
func connect(ctx context.Context, ref name.Reference, o PullOptions, auth authn.Authenticator) (*remote, error) {
	registry := ref.Context().Registry
	base := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: headerTimeout,
		IdleConnTimeout:       headerTimeout,
		MaxIdleConnsPerHost:   parallelLayers,
		TLSClientConfig:       &tls.Config{InsecureSkipVerify: o.insecure(registry.RegistryStr())},
	}
	guarded := &schemeGuard{inner: base, host: registry.RegistryStr(), plain: o.mayBePlain(registry.RegistryStr())}
	retrying := transport.NewRetry(guarded, transport.WithRetryBackoff(retries),
		transport.WithRetryStatusCodes(http.StatusRequestTimeout, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout))
	rt, err := transport.NewWithContext(ctx, registry, auth, retrying, []string{ref.Scope(transport.PullScope)})
	if err != nil {
		return nil, err
	}
	return &remote{ref: ref, client: &http.Client{Transport: rt}}, nil
}

// errPlain is what a registry that is not named insecure gets when it would be
// spoken to without TLS. go-containerregistry would do that for all private
// addresses.
var errPlain = errors.New("it does not speak TLS")

type schemeGuard struct {
	inner http.RoundTripper
	host  string
	plain bool
}

func (g *schemeGuard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "http" && r.URL.Host == g.host && !g.plain {
		return nil, errPlain
	}
	return g.inner.RoundTrip(r)
}

// manifestTypes are those that podrun reads.
var manifestTypes = []string{
	string(types.OCIImageIndex), string(types.DockerManifestList),
	string(types.OCIManifestSchema1), string(types.DockerManifestSchema2),
}

// fetchManifest reads a manifest or index by tag or digest; a digest is verified.
func (r *remote) fetchManifest(ctx context.Context, identifier string) ([]byte, error) {
	req, err := r.request(ctx, "manifests", identifier)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", strings.Join(manifestTypes, ", "))
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("download image manifest: %w", err)
	}
	if len(data) > maxManifest {
		return nil, fmt.Errorf("the image manifest has more than %d bytes", maxManifest)
	}
	if want, err := v1.NewHash(identifier); err == nil {
		return data, checkDigest(data, want)
	}
	return data, nil
}

func checkDigest(data []byte, want v1.Hash) error {
	hasher, err := v1.Hasher(want.Algorithm)
	if err != nil {
		return err
	}
	hasher.Write(data)
	if got := fmt.Sprintf("%x", hasher.Sum(nil)); got != want.Hex {
		return fmt.Errorf("the registry sent %s:%s for manifest %s", want.Algorithm, got, want)
	}
	return nil
}

func (r *remote) request(ctx context.Context, kind, identifier string) (*http.Request, error) {
	repository := r.ref.Context()
	u := url.URL{
		Scheme: repository.Scheme(), // the transport knows which one the registry has
		Host:   repository.RegistryStr(),
		Path:   fmt.Sprintf("/v2/%s/%s/%s", repository.RepositoryStr(), kind, identifier),
	}
	return http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
}
