package probe

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// targetOf is where a test server listens.
func targetOf(t *testing.T, server *httptest.Server, path string) HTTPTarget {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return HTTPTarget{Scheme: strings.ToUpper(u.Scheme), Host: u.Hostname(), Port: port, Path: path, Timeout: 5 * time.Second}
}

func site() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.PathValue("code"))
		w.WriteHeader(code)
		fmt.Fprint(w, "the body")
	})
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("loc"), http.StatusFound)
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat("x", 10*maxBody))
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "less")
	})
	mux.HandleFunc("/hints", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		fmt.Fprint(w, "the body")
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	return mux
}

func TestHTTP(t *testing.T) {
	server := httptest.NewServer(site())
	defer server.Close()
	for _, tt := range []struct {
		path   string
		want   Result
		detail string
		err    bool
	}{
		{"/status/200", Success, "the body", false},
		{"/status/399", Warning, "Probe terminated redirects, Response body: the body", false},
		{"/status/400", Failure, "HTTP probe failed with statuscode: 400", false},
		{"/status/500", Failure, "HTTP probe failed with statuscode: 500", false},
		{"/to?loc=/status/200", Success, "the body", false},
		{"/to?loc=/status/500", Failure, "HTTP probe failed with statuscode: 500", false},
		{"/to?loc=http://other.invalid/", Warning, "Probe terminated redirects, Response body: <a href=\"http://other.invalid/\">Found</a>.\n\n", false},
		{"/to?loc=/to%3floc=x", Failure, "404", false}, // relative to the same host, and not there
		{"/long", Success, strings.Repeat("x", maxBody), false},
		{"/hints", Success, "the body", false},
		{"/cut", Failure, "", true},                // what was not read whole cannot be judged
		{"status/200", Success, "the body", false}, // a path without its slash
	} {
		var p Prober
		got, detail, err := p.HTTP(context.Background(), targetOf(t, server, tt.path))
		if got != tt.want || !strings.Contains(detail, tt.detail) || (err != nil) != tt.err {
			t.Errorf("%s: got %v, %q, %v, want %v, %q", tt.path, got, detail, err, tt.want, tt.detail)
		}
	}
}

func TestHTTPRedirectsForEver(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/again", http.StatusFound)
	}))
	defer server.Close()
	var p Prober
	got, detail, err := p.HTTP(context.Background(), targetOf(t, server, "/"))
	if got != Failure || !strings.HasSuffix(detail, "stopped after 10 redirects") || err != nil {
		t.Errorf("got %v, %q, %v", got, detail, err)
	}
}

func TestHTTPRequest(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header http.Header
		want   map[string]string // of what the server sees
	}{
		{"as the kubelet", nil, map[string]string{"User-Agent": "kube-probe/1.36", "Accept": "*/*", "Connection": "close", "Accept-Encoding": ""}},
		{"written", http.Header{"user-agent": {"me"}, "Accept": {"text/plain"}, "X-Two": {"a"}}, map[string]string{"User-Agent": "me", "Accept": "text/plain", "X-Two": "a"}},
		{"empty Accept", http.Header{"Accept": {""}}, map[string]string{"Accept": ""}},
		{"host", http.Header{"Host": {"example.org"}}, map[string]string{"host": "example.org"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen *http.Request
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r }))
			defer server.Close()
			target := targetOf(t, server, "/a%20b?c=d")
			target.Header = tt.header
			var p Prober
			if got, detail, err := p.HTTP(context.Background(), target); got != Success || err != nil {
				t.Fatalf("got %v, %q, %v", got, detail, err)
			}
			if seen.URL.String() != "/a%20b?c=d" {
				t.Errorf("path: got %q", seen.URL)
			}
			for name, want := range tt.want {
				got := seen.Header.Get(name)
				switch name {
				case "host":
					got = seen.Host
				case "Connection":
					got = map[bool]string{true: "close"}[seen.Close]
				}
				if got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestHTTPS(t *testing.T) {
	server := httptest.NewUnstartedServer(site())
	server.EnableHTTP2 = true
	server.StartTLS() // with a certificate that nobody trusts
	defer server.Close()
	var p Prober
	if got, detail, err := p.HTTP(context.Background(), targetOf(t, server, "/status/204")); got != Success || err != nil {
		t.Errorf("got %v, %q, %v", got, detail, err)
	}
}

func TestHTTPTimeout(t *testing.T) {
	server := httptest.NewServer(site())
	defer server.Close()
	target := targetOf(t, server, "/slow")
	target.Timeout = 50 * time.Millisecond
	var p Prober
	began := time.Now()
	got, detail, err := p.HTTP(context.Background(), target)
	if got != Failure || !strings.Contains(detail, "Client.Timeout exceeded") || err != nil || time.Since(began) > 2*time.Second {
		t.Errorf("got %v, %q, %v after %v", got, detail, err, time.Since(began))
	}
}

// A redirect may lead to another port of the same host, and from http to https.
func TestHTTPRedirectToTLS(t *testing.T) {
	secure := httptest.NewTLSServer(site())
	defer secure.Close()
	server := httptest.NewServer(http.RedirectHandler(secure.URL+"/status/201", http.StatusMovedPermanently))
	defer server.Close()
	var p Prober
	if got, detail, err := p.HTTP(context.Background(), targetOf(t, server, "/")); got != Success || detail != "the body" || err != nil {
		t.Errorf("got %v, %q, %v", got, detail, err)
	}
}

// Servers that speak no HTTP, or none that ends, are failures in the words of a transport.
func TestHTTPOddServers(t *testing.T) {
	for answer, want := range map[string]string{
		"":                             "EOF",
		"SSH-2.0-OpenSSH\r\n":          "malformed HTTP response \"SSH-2.0-OpenSSH\"",
		"HTTP/1.1 200 OK\r\nX: " + "#": "EOF",
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 4096))
			c.Write([]byte(answer))
			for i := 0; strings.HasSuffix(answer, "#") && i < 4096; i++ {
				if _, err := c.Write([]byte(strings.Repeat("x", 1024))); err != nil {
					break
				}
			}
			c.Close()
		}()
		a := listener.Addr().(*net.TCPAddr)
		var p Prober
		got, detail, err := p.HTTP(context.Background(), HTTPTarget{Host: "127.0.0.1", Port: a.Port, Path: "/", Timeout: 5 * time.Second})
		if got != Failure || !strings.HasSuffix(detail, want) || err != nil {
			t.Errorf("%q: got %v, %q, %v, want %q", answer, got, detail, err, want)
		}
		listener.Close()
	}
}

// TestHTTPWithoutProxy: what the machine's user goes through to reach the world
// is no way to a pod.
func TestHTTPWithoutProxy(t *testing.T) {
	server := httptest.NewServer(site())
	defer server.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var dialled string
	p := Prober{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled = address
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(server.URL, "http://"))
	}}
	target := HTTPTarget{Host: "10.244.0.2", Port: 80, Path: "/status/200", Timeout: 5 * time.Second}
	if got, detail, err := p.HTTP(context.Background(), target); got != Success || err != nil || dialled != "10.244.0.2:80" {
		t.Errorf("got %v, %q, %v from %q", got, detail, err, dialled)
	}
}

func TestHTTPBadHeader(t *testing.T) {
	server := httptest.NewServer(site())
	defer server.Close()
	target := targetOf(t, server, "/status/200")
	target.Header = http.Header{"X": {"a\nb"}}
	var p Prober
	if got, _, err := p.HTTP(context.Background(), target); got != Failure || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestTCP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	var p Prober
	if got, detail, err := p.TCP(context.Background(), TCPTarget{address, time.Second}); got != Success || detail != "" || err != nil {
		t.Errorf("open: got %v, %q, %v", got, detail, err)
	}
	listener.Close()
	want := "dial tcp " + address + ": connect: connection refused"
	if got, detail, err := p.TCP(context.Background(), TCPTarget{address, time.Second}); got != Failure || detail != want || err != nil {
		t.Errorf("closed: got %v, %q, %v, want %q", got, detail, err, want)
	}
	p.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if got, _, err := p.TCP(context.Background(), TCPTarget{address, 20 * time.Millisecond}); got != Failure || err != nil {
		t.Errorf("silent: got %v, %v", got, err)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("/healthz", "h", "X-A", "b")
	f.Add("http://elsewhere/%zz?x#y", "::1", "Host", "")
	f.Fuzz(func(t *testing.T, path, host, name, value string) {
		req, err := request(context.Background(), HTTPTarget{Host: host, Port: 80, Path: path, Header: http.Header{name: {value}}}, userAgent)
		if err == nil && req.URL.Scheme != "http" {
			t.Errorf("%q: asks %s", path, req.URL)
		}
	})
}
