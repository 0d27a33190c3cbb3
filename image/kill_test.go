package image

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// pullVariable makes the test binary pull one image and exit: STORE REFERENCE.
const pullVariable = "PODRUN_TEST_PULL"

func TestMain(m *testing.M) {
	if words := strings.Fields(os.Getenv(pullVariable)); len(words) == 2 {
		s, err := Open(words[0])
		if err == nil {
			_, err = s.Pull(context.Background(), words[1], PullOptions{})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func pullingChild(t *testing.T, s *Store, ref string) *exec.Cmd {
	t.Helper()
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), pullVariable+"="+s.dir+" "+ref)
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	return child
}

// metered counts the bytes that a handler sends, and calls at once it has sent
// limit of them.
type metered struct {
	http.Handler
	mu    sync.Mutex
	sent  int
	limit int
	at    func()
}

func (m *metered) arm(limit int, at func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent, m.limit, m.at = 0, limit, at
}

func (m *metered) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.Handler.ServeHTTP(&meter{w, m}, r)
}

type meter struct {
	http.ResponseWriter
	m *metered
}

func (w *meter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.m.sent += n
	if w.m.at != nil && w.m.sent >= w.m.limit {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		w.m.at()
		w.m.at = nil
	}
	return n, err
}

func noise(n int) string {
	random := rand.NewChaCha8([32]byte{})
	b := make([]byte, n)
	_, _ = random.Read(b)
	return string(b)
}

// bigImage has five layers of incompressible content, and a whiteout.
func bigImage(t *testing.T) v1.Image {
	t.Helper()
	var layers []v1.Layer
	for i := range 5 {
		layers = append(layers, layerOf(t, []file{
			{name: fmt.Sprintf("dir/file%d", i), body: noise(300_000)},
			{name: fmt.Sprintf("dir/.wh.file%d", i-3)},
		}))
	}
	return imageOf(t, here(), layers...)
}

func wantBigImage(t *testing.T, img *Image) {
	t.Helper()
	root := mountImage(t, img)
	for i := range 5 {
		path := filepath.Join(root, fmt.Sprintf("dir/file%d", i))
		if i < 2 { // hidden by layers 3 and 4
			if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s = %v, want it hidden", path, err)
			}
			continue
		}
		wantFile(t, path, noise(300_000))
	}
}

// TestKilledPull kills a pull at many points with SIGKILL. The store never has
// half an image, and the next pull completes it.
func TestKilledPull(t *testing.T) {
	server := &metered{Handler: handler()}
	host := serve(t, server)
	ref := host + "/big:1"
	push(t, ref, bigImage(t))
	const all = 1_500_000 // and some bytes of manifest, config and framing
	points := []struct {
		name  string
		bytes int
		wait  time.Duration // from those bytes to the kill
	}{
		{"at the manifest", 1, 0}, {"in the config", 2000, 0}, {"early", 100_000, 0}, {"in the middle", all / 2, 0}, {"late", all * 9 / 10, 0},
		{"at the last byte", all, 0}, {"unpacking", all, 2 * time.Millisecond}, {"syncing", all, 5 * time.Millisecond},
		{"putting in place", all, 10 * time.Millisecond}, {"recording", all, 15 * time.Millisecond}, {"about done", all, 25 * time.Millisecond},
	}
	for _, point := range points {
		t.Run(point.name, func(t *testing.T) {
			s := newStore(t)
			reached := make(chan struct{})
			server.arm(point.bytes, func() { close(reached) })
			child := pullingChild(t, s, ref)
			select {
			case <-reached:
			case <-time.After(20 * time.Second):
				t.Error("the child did not get that far")
			}
			time.Sleep(point.wait)
			_ = child.Process.Kill()
			_ = child.Wait()
			server.arm(0, nil)
			if img, err := s.Get(ref); err == nil {
				wantBigImage(t, img)
			} else if !errors.Is(err, ErrNotFound) {
				t.Errorf("Get after the kill = %v, want ErrNotFound or the image", err)
			}
			wantBigImage(t, pull(t, s, ref, PullOptions{}))
			wantTidy(t, s)
		})
	}
}

// TestPullsAtOnce: of several processes and goroutines that want the same image
// one downloads each blob of a layer, all get the image, and an image that goes
// meanwhile takes no shared layer along.
func TestPullsAtOnce(t *testing.T) {
	counter := &counting{Handler: handler()}
	host := serve(t, counter)
	img := bigImage(t)
	push(t, host+"/big:1", img)
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	push(t, host+"/part:1", imageOf(t, here(), layers[:3]...))
	s := newStore(t)
	pull(t, s, host+"/part:1", PullOptions{})
	child := pullingChild(t, s, host+"/big:1")
	var g errgroup.Group
	for range 3 {
		g.Go(func() error {
			_, err := s.Pull(t.Context(), host+"/big:1", PullOptions{})
			return err
		})
	}
	g.Go(func() error { return s.Remove(t.Context(), host+"/part:1", nil) })
	if err := errors.Join(g.Wait(), child.Wait()); err != nil {
		t.Fatal(err)
	}
	for i, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			t.Fatal(err)
		}
		// Those of part once for part, and once more if it went in time.
		want := map[bool]int{true: 2, false: 1}[i < 3]
		if n := counter.blobs["/v2/big/blobs/"+digest.String()] + counter.blobs["/v2/part/blobs/"+digest.String()]; n > want {
			t.Errorf("layer %d was downloaded %d times, want %d at most", i, n, want)
		}
	}
	got, err := s.Get(host + "/big:1")
	if err != nil {
		t.Fatal(err)
	}
	wantBigImage(t, got)
	// The last writer may have met another one on its way out.
	pull(t, s, host+"/big:1", PullOptions{})
	wantTidy(t, s)
}
