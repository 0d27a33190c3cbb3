package probe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Whatever is answered is a success; only a call that does not come through fails.
func TestHook(t *testing.T) {
	server := httptest.NewServer(site())
	defer server.Close()
	var p Prober
	for _, path := range []string{"/status/200", "/status/500", "/to?loc=http://other.invalid/", "/long"} {
		if err := p.Hook(context.Background(), targetOf(t, server, path)); err != nil {
			t.Errorf("%s: got %v", path, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := p.Hook(ctx, targetOf(t, server, "/slow")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that does not answer: got %v", err)
	}
	gone := targetOf(t, server, "/")
	gone.Port = 1
	if err := p.Hook(context.Background(), gone); err == nil {
		t.Error("a port that nobody listens on: got no error")
	}
}

// A hook that asks for https of a server without is called again, without what
// was meant for an encrypted connection.
func TestHookFallsBack(t *testing.T) {
	var header http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { header = r.Header }))
	defer server.Close()
	target := targetOf(t, server, "/")
	target.Scheme = "HTTPS"
	target.Header = http.Header{"Authorization": {"secret"}, "X-Own": {"1"}}
	var p Prober
	var plain *PlainAnswer
	if err := p.Hook(context.Background(), target); !errors.As(err, &plain) || plain.Host != server.Listener.Addr().String() {
		t.Fatalf("got %v, want a plain answer", err)
	}
	if header.Get("Authorization") != "" || header.Get("X-Own") != "1" || header.Get("User-Agent") != "kube-lifecycle/1.36" {
		t.Errorf("got header %v", header)
	}
	// With TLS there is nothing to fall back from, and nobody vouches for the server.
	secure := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { header = r.Header }))
	defer secure.Close()
	target.Port = secure.Listener.Addr().(*net.TCPAddr).Port
	if err := p.Hook(context.Background(), target); err != nil || header.Get("Authorization") != "secret" {
		t.Errorf("got %v and header %v", err, header)
	}
}
