package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	goruntime "runtime"
	"strings"
	"sync"

	"podrun/ground"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/rogpeppe/go-internal/testscript"
)

// fakeRegistry is go-containerregistry's registry, which counts what is asked of
// it and can hold back the second half of every blob.
type fakeRegistry struct {
	next http.Handler

	mu      sync.Mutex
	login   string        // USER:PASSWORD; empty: everybody is let in
	blobs   int           // blobs asked for since the last count
	holding chan struct{} // closed by release; nil: nothing is held back
	held    int           // requests that wait
}

func (r *fakeRegistry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if !r.lets(q) {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if q.Method != http.MethodGet || !strings.Contains(q.URL.Path, "/blobs/sha256:") {
		r.next.ServeHTTP(w, q)
		return
	}
	r.mu.Lock()
	r.blobs++
	holding := r.holding
	r.mu.Unlock()
	if holding == nil {
		r.next.ServeHTTP(w, q)
		return
	}
	whole := httptest.NewRecorder()
	r.next.ServeHTTP(whole, q)
	for key, values := range whole.Header() {
		w.Header()[key] = values
	}
	w.WriteHeader(whole.Code)
	half := whole.Body.Len() / 2
	w.Write(whole.Body.Bytes()[:half])
	w.(http.Flusher).Flush()
	r.mu.Lock()
	r.held++
	r.mu.Unlock()
	<-holding
	w.Write(whole.Body.Bytes()[half:])
}

func (r *fakeRegistry) lets(q *http.Request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	user, password, _ := q.BasicAuth()
	return r.login == "" || r.login == user+":"+password
}

// registryCommand has these forms:
//
//	registry VARIABLE   starts one and sets the variable to its host and port
//	registry login U:P  lets in only those who know user and password
//	registry blobs      prints how many blobs were asked for since the last time
//	registry hold       gives only half of each blob from now on
//	registry held       waits until a request is held back
//	registry release    gives the rest
func registryCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && (len(args) == 1 || len(args) == 2 && args[0] == "login"), "registry VARIABLE|login U:P|blobs|hold|held|release")
	if strings.ToUpper(args[0]) == args[0] {
		startRegistry(ts, args[0])
		return
	}
	p := here(ts)
	if p.registry == nil {
		ts.Fatalf("no registry runs")
	}
	r := p.registry
	switch args[0] {
	case "login":
		r.mu.Lock()
		defer r.mu.Unlock()
		r.login = args[1]
	case "blobs":
		r.mu.Lock()
		defer r.mu.Unlock()
		fmt.Fprintln(ts.Stdout(), r.blobs)
		r.blobs = 0
	case "hold":
		r.mu.Lock()
		defer r.mu.Unlock()
		r.holding, r.held = make(chan struct{}), 0
	case "held":
		poll(ts, "10s", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.held > 0
		})
	case "release":
		r.release()
	default:
		ts.Fatalf("registry %s is not known", args[0])
	}
}

func (r *fakeRegistry) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holding != nil {
		close(r.holding)
		r.holding = nil
	}
}

func startRegistry(ts *testscript.TestScript, variable string) {
	r := &fakeRegistry{next: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	server := httptest.NewServer(r)
	here(ts).registry = r
	ts.Defer(func() {
		r.release()
		server.Close()
	})
	ts.Setenv(variable, strings.TrimPrefix(server.URL, "http://"))
}

// push REFERENCE [TEXT] makes an image of busybox and a layer with the text in
// /text, whose command prints it, and pushes it.
func push(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && (len(args) == 1 || len(args) == 2), "push REFERENCE [TEXT]")
	ref, err := name.ParseReference(args[0], name.Insecure)
	ts.Check(err)
	text := "text\n"
	if len(args) == 2 {
		text = args[1] + "\n"
	}
	img, err := testImage(text)
	ts.Check(err)
	ts.Check(remote.Write(ref, img))
}

// save layout|docker PATH REFERENCE TEXT writes the image of push as an OCI
// layout into a directory, or as the archive of `docker save`.
func save(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 4, "save layout|docker PATH REFERENCE TEXT")
	img, err := testImage(args[3] + "\n")
	ts.Check(err)
	to := ts.MkAbs(args[1])
	if args[0] == "docker" {
		tag, err := name.NewTag(args[2])
		ts.Check(err)
		ts.Check(tarball.WriteToFile(to, tag, img))
		return
	}
	dir, err := layout.Write(to, empty.Index)
	ts.Check(err)
	ts.Check(dir.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": args[2]})))
}

func testImage(text string) (v1.Image, error) {
	base, err := tarball.LayerFromFile(ground.Suite.Rootfs)
	if err != nil {
		return nil, err
	}
	var top bytes.Buffer
	w := tar.NewWriter(&top)
	if err := errors.Join(ground.AddFile(w, "text", text, 0o644), w.Close()); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(top.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: goruntime.GOOS, Architecture: goruntime.GOARCH,
		Config: v1.Config{Cmd: []string{"sh", "-c", "cat /text; exec sleep 3600"}, Env: []string{"PATH=/bin", "FROM=image"}},
	})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(img, base, layer)
}
