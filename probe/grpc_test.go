package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// healthServer speaks HTTP/2 without TLS; handler answers the health service.
func healthServer(t *testing.T, handler http.HandlerFunc) string {
	mux := http.NewServeMux()
	if handler != nil {
		mux.HandleFunc("POST /grpc.health.v1.Health/Check", handler)
	}
	server := httptest.NewUnstartedServer(mux)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// says answers with a message, unless it is nil, and a status in the trailer.
func says(message []byte, status, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		if message != nil {
			w.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...))
		}
		w.Header().Set("Grpc-Status", status)
		w.Header().Set("Grpc-Message", text)
	}
}

func TestGRPC(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		want    Result
		detail  string
	}{
		{"serving", says([]byte{8, 1}, "0", ""), Success, "service healthy"},
		{"not serving", says([]byte{8, 2}, "0", ""), Failure, `service unhealthy (responded with "NOT_SERVING")`},
		{"a field left out is 0", says([]byte{}, "0", ""), Failure, `service unhealthy (responded with "UNKNOWN")`},
		{"a status of a later version", says([]byte{8, 9}, "0", ""), Failure, `service unhealthy (responded with "9")`},
		{"fields of a later version", says([]byte{0x12, 2, 8, 2, 0x1d, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0, 0, 0, 0, 8, 1}, "0", ""), Success, "service healthy"},
		{"unknown service", says(nil, "5", "unknown%20service"), Failure, "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service"},
		{"no health service, as gRPC says it", says(nil, "12", "unknown method"), Failure, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown method"},
		{"no health service, as HTTP says it", nil, Failure, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unexpected HTTP status code received from server: 404 (Not Found)"},
		{"the server's own timeout", says(nil, "4", "slow"), Failure, "timeout: health rpc did not complete within 500ms"},
		{"a code of a later version", says(nil, "99", "x"), Failure, "error: health rpc probe failed: rpc error: code = Code(99) desc = x"},
		{"no number", says(nil, "fine", "x"), Failure, `error: health rpc probe failed: rpc error: code = Internal desc = malformed grpc-status: "fine"`},
		{"no status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, Failure, "error: health rpc probe failed: rpc error: code = Unavailable desc = unexpected HTTP status code received from server: 503 (Service Unavailable)"},
		{"cut off", says([]byte{8}, "0", ""), Failure, "error: health rpc probe failed: rpc error: code = Internal desc = the server sent no HealthCheckResponse"},
		{"never", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, Failure, "timeout: health rpc did not complete within 500ms"},
	} {
		var p Prober
		target := GRPCTarget{Address: healthServer(t, tt.handler), Timeout: 500 * time.Millisecond}
		got, detail, err := p.GRPC(context.Background(), target)
		if got != tt.want || detail != tt.detail || err != nil {
			t.Errorf("%s: got %v, %q, %v, want %v, %q", tt.name, got, detail, err, tt.want, tt.detail)
		}
	}
}

func TestGRPCRequest(t *testing.T) {
	var header http.Header
	var body []byte
	address := healthServer(t, func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
		says([]byte{8, 1}, "0", "")(w, r)
	})
	var p Prober
	if got, detail, _ := p.GRPC(context.Background(), GRPCTarget{Address: address, Service: "db", Timeout: 2 * time.Second}); got != Success {
		t.Fatal(detail)
	}
	if want := append([]byte{0, 0, 0, 0, 4, 10, 2}, "db"...); !bytes.Equal(body, want) {
		t.Errorf("got body %q, want %q", body, want)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/grpc", "Te": "trailers", "Grpc-Timeout": "2000m", "User-Agent": "kube-probe/1.36",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("header %s: got %q, want %q", name, got, want)
		}
	}
}

// A server that does not listen yet is tried again until the time is over.
func TestGRPCConnects(t *testing.T) {
	address := healthServer(t, says([]byte{8, 1}, "0", ""))
	tries := 0
	p := Prober{Dial: func(ctx context.Context, network, to string) (net.Conn, error) {
		if tries++; tries == 1 {
			return nil, io.EOF
		}
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}}
	if got, detail, _ := p.GRPC(context.Background(), GRPCTarget{Address: address, Timeout: 3 * time.Second}); got != Success || tries != 2 {
		t.Errorf("got %v, %q after %d tries", got, detail, tries)
	}
	tries = -1000
	got, detail, _ := p.GRPC(context.Background(), GRPCTarget{Address: "[::1]:1", Timeout: 50 * time.Millisecond})
	want := `timeout: failed to connect service "[::1]:1" within 50ms: context deadline exceeded`
	if got != Failure || detail != want {
		t.Errorf("got %v, %q, want %q", got, detail, want)
	}
	// One that speaks something else.
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	p = Prober{}
	got, detail, _ = p.GRPC(context.Background(), GRPCTarget{Address: plain.Listener.Addr().String(), Timeout: time.Second})
	if got != Failure || !strings.HasPrefix(detail, "error: health rpc probe failed: rpc error: code = Unavailable") {
		t.Errorf("got %v, %q", got, detail)
	}
}

func FuzzHealthAnswer(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 2, 8, 1})
	f.Add([]byte{0, 0, 0, 0, 4, 0x12, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, frame []byte) {
		if status, err := healthAnswer(frame); err != nil && status != 0 {
			t.Errorf("got status %d beside %v", status, err)
		}
	})
}
