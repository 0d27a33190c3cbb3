package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"podrun/manifest"
)

const aPod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers: [{name: a, image: busybox}]\n"

// inDirectory makes files below a new directory, which it returns.
func inDirectory(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// openFile is a file as standard input.
func openFile(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestReadSources(t *testing.T) {
	dir := inDirectory(t, map[string]string{
		"b.yaml": "b", "a.yml": "a", "c.json": "c", "notes.txt": "no manifest", "below/d.yaml": "kubectl does not descend", "plain": "p",
	})
	a := &app{Streams: Streams{In: openFile(t, filepath.Join(dir, "plain"))}}
	got, err := a.readSources(context.Background(), []string{dir, filepath.Join(dir, "plain"), "-"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range got {
		names = append(names, strings.TrimPrefix(s.Name, dir+"/")+"="+string(s.Data))
	}
	if got, want := strings.Join(names, " "), "a.yml=a b.yaml=b c.json=c plain=p -=p"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestReadSourcesOverHTTP(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/pod.yaml", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, aPod) })
	mux.Handle("/moved", http.RedirectHandler("/pod.yaml", http.StatusFound))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "apiVersion: v1")
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for w.Header(); ; {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	gone := httptest.NewServer(mux)
	gone.Close()
	for _, test := range []struct{ name, url, wantErr string }{
		{"served", server.URL + "/pod.yaml", ""},
		{"moved", server.URL + "/moved", ""},
		{"moved for ever", server.URL + "/loop", "stopped after 10 redirects"},
		{"not there", server.URL + "/nosuch.yaml", "the server answered 404 Not Found"},
		{"cut short", server.URL + "/short", "unexpected EOF"},
		{"endless", server.URL + "/endless", "is larger than 16 MiB: is it a manifest?"},
		{"nobody answers", gone.URL + "/pod.yaml", "connection refused"},
		{"no address", "http://%zz/", "invalid URL escape"},
	} {
		got, err := (&app{}).readSources(context.Background(), []string{test.url})
		if test.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("%s: got error %v, want %q", test.name, err, test.wantErr)
			}
			continue
		}
		if err != nil || len(got) != 1 || string(got[0].Data) != aPod || got[0].Name != test.url {
			t.Errorf("%s: got %v, %v, want the pod", test.name, got, err)
		}
	}
}

func TestBadSources(t *testing.T) {
	dir := inDirectory(t, map[string]string{"empty/notes.txt": "", "large.yaml": ""})
	if err := os.Truncate(filepath.Join(dir, "large.yaml"), maxManifest+1); err != nil {
		t.Fatal(err)
	}
	s := newSession(t)
	for _, test := range []struct{ arg, want string }{
		{filepath.Join(dir, "nosuch.yaml"), "no such file or directory; name a manifest, a directory, a URL, or - for standard input"},
		{filepath.Join(dir, "empty"), "the directory has no .yaml, .yml or .json file"},
		{filepath.Join(dir, "large.yaml"), "is larger than 16 MiB"},
		{filepath.Join(dir, "large.yaml", "below"), "not a directory"},
	} {
		for _, command := range []string{"validate", "up", "down"} {
			_, errs, code := s.run(nil, command, test.arg)
			if code != exitUsage || !strings.Contains(errs, test.want) {
				t.Errorf("%s %s: got code %d and %q, want 2 and %q", command, test.arg, code, errs, test.want)
			}
		}
	}
}

func TestLooksLikeFile(t *testing.T) {
	t.Chdir(inDirectory(t, map[string]string{"here": "", "dir/x": ""}))
	for arg, want := range map[string]bool{
		"-": true, "http://x/y": true, "https://x": true, "./web": true, "pods/web": true, "web.yaml": true, "web.yml": true,
		"web.json": true, "here": true, "dir": true, "web": false, "web.v2": false, "": false,
	} {
		if got := looksLikeFile(arg); got != want {
			t.Errorf("%q: got %v, want %v", arg, got, want)
		}
	}
}

// The API allows names of 253 bytes; with the namespace and the uid they would
// not fit into the name of the log directory.
func TestLongNames(t *testing.T) {
	s := newSession(t)
	for length, want := range map[int]int{210: 0, 211: exitUsage, 253: exitUsage} {
		name := strings.Repeat("a", length)
		dir := inDirectory(t, map[string]string{"pod.yaml": strings.Replace(aPod, "name: web", "name: "+name, 1)})
		_, errs, code := s.run(nil, "validate", filepath.Join(dir, "pod.yaml"))
		if code != want {
			t.Errorf("a name of %d bytes: got code %d and %q, want %d", length, code, errs, want)
		}
	}
}

func TestImageNames(t *testing.T) {
	objects, err := manifest.Parse([]manifest.Source{{Name: "f", Data: []byte(`apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  initContainers:
  - {name: a, image: "busybox:1"}
  containers:
  - name: b
    image: "busybox:$TAG"
  volumes:
  - {name: v, image: {reference: "https://x/y"}}
`)}}, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := imageNames(objects, objects.Pods[0]).Error()
	want := `f:9:12: spec.containers[0].image: "busybox:$TAG": not an image name; want [registry/]name[:tag][@sha256:digest]
f:11:34: spec.volumes[0].image.reference: "https://x/y": an image name has no scheme: leave out https://`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
