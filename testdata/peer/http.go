package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// health is what /healthz and the gRPC service "" answer.
type health struct {
	file       string
	after, end time.Duration
	start      time.Time
}

func healthFlags(f *flag.FlagSet) *health {
	h := &health{start: time.Now()}
	f.StringVar(&h.file, "health-file", "", "healthy while it exists")
	f.DurationVar(&h.after, "healthy-after", 0, "since the start")
	f.DurationVar(&h.end, "healthy-for", 0, "since the start")
	return h
}

func (h *health) good() bool {
	age := time.Since(h.start)
	if age < h.after || h.end > 0 && age > h.end {
		return false
	}
	if h.file == "" {
		return true
	}
	_, err := os.Stat(h.file)
	return err == nil
}

func flags(name string) *flag.FlagSet { return flag.NewFlagSet(name, flag.ExitOnError) }

func listen(kind, address string) (net.Listener, error) {
	l, err := net.Listen(network(kind, address), address)
	if err == nil {
		fmt.Println("listening", kind, l.Addr())
	}
	return l, err
}

// network keeps to the family of the address: by itself Go takes 0.0.0.0 and [::]
// for all addresses of both.
func network(kind, address string) string {
	switch {
	case strings.HasPrefix(address, "0.0.0.0:"):
		return kind + "4"
	case strings.HasPrefix(address, "[::]:"):
		return kind + "6"
	}
	return kind
}

func serveHTTP(args []string) error {
	f := flags("http")
	address := f.String("listen", ":8080", "")
	secure := f.Bool("tls", false, "")
	quiet := f.Bool("quiet", false, "")
	h := healthFlags(f)
	f.Parse(args)
	l, err := listen("tcp", *address)
	if err != nil {
		return err
	}
	server := http.Server{Handler: pages(h)}
	if !*quiet {
		server.Handler = told(server.Handler)
	}
	if !*secure {
		return server.Serve(l)
	}
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	return server.ServeTLS(l, "", "")
}

func told(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Printf("%s %s %s from %s host %s agent %s\n", r.Proto, r.Method, r.RequestURI, r.RemoteAddr, r.Host, r.UserAgent())
		next.ServeHTTP(w, r)
	})
}

func pages(h *health) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "peer\n") })
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !h.good() {
			http.Error(w, "unhealthy", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "healthy\n")
	})
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.PathValue("code"))
		if err != nil || code < 200 || code > 599 {
			code = http.StatusBadRequest
		}
		w.WriteHeader(code)
		fmt.Fprintf(w, "status %d\n", code)
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.FormValue("code"))
		if err != nil {
			code = http.StatusFound
		}
		w.Header().Set("Location", r.FormValue("to"))
		w.WriteHeader(code)
		fmt.Fprintf(w, "go to %s\n", r.FormValue("to"))
	})
	mux.HandleFunc("/circle", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/circle")
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/headers", writeHeaders)
	mux.HandleFunc("/clientip", func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintln(w, host)
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		wait, _ := time.ParseDuration(r.FormValue("for"))
		select {
		case <-time.After(wait):
			io.WriteString(w, "late\n")
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/body", func(w http.ResponseWriter, r *http.Request) {
		size, _ := strconv.Atoi(r.FormValue("size"))
		io.WriteString(w, strings.Repeat("x", max(size, 0)))
	})
	return mux
}

func writeHeaders(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s %s\nHost: %s\n", r.Method, r.RequestURI, r.Proto, r.Host)
	var lines []string
	for name, values := range r.Header {
		for _, v := range values {
			lines = append(lines, name+": "+v+"\n")
		}
	}
	slices.Sort(lines)
	io.WriteString(w, strings.Join(lines, ""))
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"peer"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ", ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func get(args []string) error {
	f := flags("get")
	timeout := f.Duration("timeout", 3*time.Second, "")
	var headers list
	f.Var(&headers, "H", "")
	f.Parse(args)
	req, err := http.NewRequest(http.MethodGet, f.Arg(0), nil)
	if err != nil {
		return err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		req.Header.Add(name, strings.TrimSpace(value))
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	client := http.Client{Timeout: *timeout, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(os.Stdout, res.Body); err != nil {
		return err
	}
	if res.StatusCode > 299 {
		return fmt.Errorf("answered %s", res.Status)
	}
	return nil
}
