package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	ggcr "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/image"
	"podrun/state"
)

// session runs command lines against a root of its own.
type session struct {
	t    *testing.T
	args []string
}

func newSession(t *testing.T) *session {
	dir := t.TempDir()
	return &session{t: t, args: []string{"podrun", "--root", filepath.Join(dir, "root"), "--run-root", filepath.Join(dir, "run"), "--log-dir", filepath.Join(dir, "logs")}}
}

func (s *session) run(in *os.File, args ...string) (out, errs string, code int) {
	var o, e bytes.Buffer
	code = Run(context.Background(), append(append([]string(nil), s.args...), args...), Streams{In: in, Out: &o, Err: &e})
	return o.String(), e.String(), code
}

func rootTar(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: 5}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func registryWith(t *testing.T, repository string) (reference string) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(rootTar(t), types.DockerUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.ConfigFile(img, &ggcr.ConfigFile{OS: "linux", Architecture: goruntime.GOARCH, RootFS: mustConfig(t, img).RootFS})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(server.Listener.Addr().String() + "/" + repository)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return ref.Name()
}

func mustConfig(t *testing.T, img ggcr.Image) *ggcr.ConfigFile {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestImageCommands(t *testing.T) {
	s := newSession(t)
	ref := registryWith(t, "app:1")
	file := filepath.Join(t.TempDir(), "root.tar")
	if err := os.WriteFile(file, rootTar(t), 0o600); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "pod.yaml")
	if err := os.WriteFile(text, []byte(aPod), 0o600); err != nil {
		t.Fatal(err)
	}
	stdin, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	tests := []struct {
		args []string
		code int
		out  string // part of standard output
		errs string // part of standard error
	}{
		{[]string{"image", "ls"}, 0, "REPOSITORY", ""},
		{[]string{"image", "ls", "-o", "json"}, 0, "[]", ""},
		{[]string{"image", "ls", "-o", "xml"}, 2, "", "want json"},
		{[]string{"image", "pull"}, 2, "", "needs a REFERENCE"},
		{[]string{"image", "pull", ref}, 0, ref + " sha256:", "done, 2.05kB"},
		{[]string{"image", "pull", "--quiet", ref}, 0, "", ""},
		{[]string{"image", "pull", ref + "x", "Bad"}, 2, "", "lower case"},
		{[]string{"image", "import", "-", "stdin:1", "--change", `CMD ["a, b"]`}, 0, "docker.io/library/stdin:1 sha256:", ""},
		{[]string{"image", "import", file, "file:1", "--change", "NOPE x"}, 2, "", "unknown instruction"},
		{[]string{"image", "load", text}, 1, "", "load " + text + ": the file is no tar archive"},
		{[]string{"image", "import", "/dev/null", "empty:1"}, 1, "", "there is nothing to read"},
		{[]string{"image", "import", file}, 2, "", "needs a FILE"},
		{[]string{"image", "load", file}, 1, "", "podrun image import"},
		{[]string{"image", "load", file + "x"}, 1, "", "no such file"},
		{[]string{"image", "ls"}, 0, "docker.io/library/stdin", ""},
		{[]string{"image", "rm", ref, "nothing"}, 1, ref + " removed", "nothing:latest"},
		{[]string{"image", "rm"}, 2, "", "needs a REFERENCE"},
		{[]string{"image", "polish"}, 2, "", "unknown command"},
	}
	for _, tt := range tests {
		out, errs, code := s.run(stdin, tt.args...)
		if code != tt.code || !strings.Contains(out, tt.out) || !strings.Contains(errs, tt.errs) {
			t.Errorf("%v: exit %d\n%s%s; want %d, %q, %q", tt.args, code, out, errs, tt.code, tt.out, tt.errs)
		}
		if tt.errs == "" && errs != "" {
			t.Errorf("%v says %q, want silence", tt.args, errs)
		}
	}
	out, _, _ := s.run(nil, "image", "ls", "-o", "json")
	var list []image.Image
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 || len(list[0].Config.Cmd) != 1 || list[0].Config.Cmd[0] != "a, b" {
		t.Errorf("image ls -o json = %s, %v; want the imported image", out, err)
	}
}

// TestEnsureImages: each policy does what the kubelet makes of it, and one
// image is pulled once for all containers.
func TestEnsureImages(t *testing.T) {
	ref := registryWith(t, "app:1")
	dir := t.TempDir()
	store, err := state.Open(state.Config{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "logs")})
	if err != nil {
		t.Fatal(err)
	}
	want := func(policy v1.PullPolicy) wantedImage { return wantedImage{reference: ref, policy: policy} }
	for _, tt := range []struct {
		wanted []wantedImage
		pulls  int
		errs   string
	}{
		{[]wantedImage{want(v1.PullNever)}, 0, "its pull policy is Never"},
		{[]wantedImage{{reference: "BAD"}, {reference: "WORSE"}}, 0, `image "WORSE"`},
		{[]wantedImage{want(v1.PullNever), want(v1.PullIfNotPresent), want(v1.PullIfNotPresent)}, 1, ""},
		{[]wantedImage{want(v1.PullNever)}, 0, ""},
		{[]wantedImage{want(v1.PullIfNotPresent)}, 0, ""},
		{[]wantedImage{want(v1.PullIfNotPresent), want(v1.PullAlways)}, 1, ""},
	} {
		var errs bytes.Buffer
		a := &app{Streams: Streams{Err: &errs}}
		pulls, err := a.ensureImages(t.Context(), store, tt.wanted, nil)
		if len(pulls) != tt.pulls {
			t.Errorf("%v: told of %d pulls, want %d", tt.wanted, len(pulls), tt.pulls)
		}
		if (err == nil) != (tt.errs == "") || err != nil && !strings.Contains(err.Error(), tt.errs) {
			t.Errorf("%v: %v, want %q", tt.wanted, err, tt.errs)
		}
		if got := strings.Count(errs.String(), "pulling "); got != tt.pulls {
			t.Errorf("%v: %d pulls, want %d", tt.wanted, got, tt.pulls)
		}
	}
}

// terminal opens a pseudo-terminal and returns its end for a program, and what
// has been drawn on it once that is closed.
func terminal(t *testing.T) (tty *os.File, drawn func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 120}); err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := make(chan string, 1)
	go func() {
		data, _ := io.ReadAll(master) // ends with EIO when the other end is closed
		text <- string(data)
	}()
	return tty, func() string { tty.Close(); return <-text }
}

// TestBars: on a terminal each layer that is downloaded has a bar, which ends
// whatever became of the layer.
func TestBars(t *testing.T) {
	tty, drawn := terminal(t)
	b, ok := (&app{Streams: Streams{Err: tty}}).newProgress().(*bars)
	if !ok {
		t.Fatal("no bars on a terminal")
	}
	tell := b.of("docker.io/library/app:1")
	tell(image.Event{Layer: "sha256:aaaaaaaaaaaaaaaa", Stage: image.StageDownloading, Total: 100})
	tell(image.Event{Layer: "sha256:aaaaaaaaaaaaaaaa", Stage: image.StageDownloading, Done: 100, Total: 100})
	tell(image.Event{Layer: "sha256:bbbbbbbbbbbbbbbb", Stage: image.StageDownloading, Done: 10, Total: 100})
	tell(image.Event{Layer: "sha256:cccccccccccccccc", Stage: image.StagePresent})
	b.finish()
	text := drawn()
	for _, want := range []string{"app:1 aaaaaaaaaaaa", "app:1 bbbbbbbbbbbb", "done"} {
		if !strings.Contains(text, want) {
			t.Errorf("drawn: %q; want %q", text, want)
		}
	}
	if strings.Contains(text, "cccc") {
		t.Errorf("drawn: %q; want no bar for a layer that was there", text)
	}
	(&bars{out: tty}).finish() // nothing was downloaded
}

func TestHumanSize(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0B", 999: "999B", 1000: "1kB", 4_261_550: "4.26MB", 999_999: "1MB", 12_345_678: "12.3MB", 123_456_789: "123MB", 1_200_000_000_000_000: "1200TB"} {
		if got := humanSize(bytes); got != want {
			t.Errorf("humanSize(%d) = %q, want %q", bytes, got, want)
		}
	}
}
