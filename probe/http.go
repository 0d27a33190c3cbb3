package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	userAgent    = "kube-probe/1.36"
	maxBody      = 10 << 10 // the kubelet reads no more of an answer
	maxRedirects = 10
)

// HTTPTarget is what an httpGet probe asks for. Header is not changed.
type HTTPTarget struct {
	Scheme  string // http (or empty) or https, in either case
	Host    string // a name or an address, without brackets
	Port    int
	Path    string // may carry a query
	Header  http.Header
	Timeout time.Duration // of the whole attempt, redirects and body included
}

// HTTP sends one GET. A status from 200 to 399 is success and its detail the
// body; certificates are not verified, redirects are followed on the same host
// only and are a Warning otherwise, proxies are not used. An error means that
// the answer could not be judged.
func (p *Prober) HTTP(ctx context.Context, t HTTPTarget) (Result, string, error) {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	req, err := request(ctx, t, userAgent)
	if err != nil {
		return Unknown, "", err
	}
	secure := &http.Transport{
		DialContext:        p.dial(t.Timeout),
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives:  true,
		DisableCompression: true,
		ForceAttemptHTTP2:  true,
	}
	// HTTP/2 keeps its connection in spite of DisableKeepAlives.
	defer secure.CloseIdleConnections()
	client := http.Client{Transport: &oneShot{p.dial(t.Timeout), secure}, CheckRedirect: sameHost}
	res, err := client.Do(req)
	if err != nil {
		// A refused connection or a timeout is the container's failure.
		return Failure, err.Error(), nil
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return Failure, "", fmt.Errorf("read probe answer: %w", err)
	}
	switch {
	case res.StatusCode < 200 || res.StatusCode >= 400:
		// Without the body: it may hold what is not meant for an event
		// (kubernetes/kubernetes issue 99425).
		return Failure, fmt.Sprintf("HTTP probe failed with statuscode: %d", res.StatusCode), nil
	case res.StatusCode >= 300:
		return Warning, fmt.Sprintf("Probe terminated redirects, Response body: %s", body), nil
	}
	return Success, string(body), nil
}

func request(ctx context.Context, t HTTPTarget, agent string) (*http.Request, error) {
	u, err := url.Parse(t.Path)
	if err != nil {
		// The kubelet sends a path that is no URL as it stands.
		u = &url.URL{Path: t.Path}
	}
	u.Scheme = strings.ToLower(t.Scheme)
	if u.Scheme == "" {
		u.Scheme = "http"
	}
	u.Host = net.JoinHostPort(t.Host, strconv.Itoa(t.Port))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("make probe request: %w", err)
	}
	for name, values := range t.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if _, set := req.Header["User-Agent"]; !set {
		req.Header.Set("User-Agent", agent)
	}
	if _, set := req.Header["Accept"]; !set {
		req.Header.Set("Accept", "*/*")
	} else if req.Header.Get("Accept") == "" {
		// Written empty in the manifest, it means: send none.
		req.Header.Del("Accept")
	}
	req.Host = req.Header.Get("Host")
	return req, nil
}

// sameHost ends a chain of redirects that leaves the pod: its last answer, the
// redirect itself, is then the result.
func sameHost(req *http.Request, via []*http.Request) error {
	if req.URL.Hostname() != via[0].URL.Hostname() {
		return http.ErrUseLastResponse
	}
	if len(via) >= maxRedirects {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}
