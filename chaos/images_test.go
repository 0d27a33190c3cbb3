package chaos

import (
	"archive/tar"
	"bytes"
	"errors"
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
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"podrun/ground"
)

const imageKillClass = "kill -9 in pull, import, rm, prune, check"

// imageWalk kills one command of images at every step that it passes.
type imageWalk struct {
	name    string
	prepare func(*imageGround) // before each kill
	args    []string           // of the command; APP and TAR are those of the ground
	again   bool               // the command works again after it was killed
}

// imageWalks are the commands.
var imageWalks = []imageWalk{
	{"pull", (*imageGround).bare, []string{"image", "pull", "APP"}, true},
	{"import", (*imageGround).bare, []string{"image", "import", "TAR", "APP"}, true},
	{"move", (*imageGround).moved, []string{"image", "pull", "APP"}, true},
	{"rm", (*imageGround).pulled, []string{"image", "rm", "APP"}, false},
	{"prune", (*imageGround).pulled, []string{"image", "prune", "--all"}, true},
	{"repair", (*imageGround).damaged, []string{"image", "check", "--repair"}, true},
	{"stray", (*imageGround).stray, []string{"image", "check", "--repair"}, true},
	{"remove", (*imageGround).damagedImport, []string{"image", "check", "--repair"}, true},
}

// TestImagesKilled kills pull, import, rm, prune and check before and after every
// change that they make. What runs goes on, the next command works, the store
// is whole, and prune leaves nothing that belongs to no image.
func TestImagesKilled(t *testing.T) {
	binary, err := stepsBinary()
	if err != nil {
		t.Fatal(err)
	}
	host := testRegistry(t)
	for _, walk := range imageWalks {
		t.Run(walk.name, func(t *testing.T) {
			t.Parallel()
			walk.run(newImageGround(t, binary, host+"/"+walk.name+":v1"))
		})
	}
}

// imageGround is a ground with a pod that runs and an image that comes and goes.
type imageGround struct {
	*testing.T
	g        *ground.Ground
	app, tar string // the image's reference, and the tar of another one
	steps    string
	uid      string
	main     ground.Process
}

func newImageGround(t *testing.T, binary, app string) *imageGround {
	w := &imageGround{T: t, g: newGroundOf(t, imageKillClass, binary), app: app}
	w.steps = filepath.Join(w.g.Dir, "steps")
	w.tar = w.g.Write(t, "own.tar", ownTar(t))
	pushTestImage(t, app, "one")
	w.g.Must(t, "up", w.g.Write(t, "sleeper.yaml", sleeper))
	t.Cleanup(func() { w.g.Must(t, "down", "sleeper") })
	var err error
	if w.uid, err = w.g.UID("sleeper"); err != nil {
		t.Fatal(err)
	}
	w.main = mustFind(t, w.uid, "main")
	return w
}

// What is there before the command that is to be killed.

func (w *imageGround) bare() { w.g.Must(w, "image", "prune", "--all") }

func (w *imageGround) pulled() {
	w.bare()
	w.g.Must(w, "image", "pull", w.app)
}

func (w *imageGround) moved() {
	pushTestImage(w, w.app, "one")
	w.pulled()
	pushTestImage(w, w.app, "moved")
}

func (w *imageGround) damaged() {
	w.pulled()
	w.damage()
}

// stray is a blob that no image has, and that is not what its name says.
func (w *imageGround) stray() {
	w.bare()
	blob := filepath.Join(w.g.Store.ImageDir(), "blobs/sha256", strings.Repeat("ab", 32))
	if err := os.WriteFile(blob, []byte("{}"), 0o600); err != nil {
		w.Fatal(err)
	}
}

func (w *imageGround) damagedImport() {
	w.bare()
	w.g.Must(w, "image", "import", w.tar, w.app)
	w.damage()
}

// run walks the steps of the command.
func (k imageWalk) run(w *imageGround) {
	for i, arg := range k.args {
		k.args[i] = strings.NewReplacer("APP", w.app, "TAR", w.tar).Replace(arg)
	}
	steps := k.passed(w)
	if len(steps) == 0 {
		w.Fatal("the command passes no step")
	}
	defer walked.finish(k.name)
	for _, step := range steps {
		k.prepare(w)
		w.order(step)
		if r := w.stepped(k.args...); r.Code != -1 {
			tally(imageKillClass, "not reached again", 1)
			w.Logf("%s: not reached again", step)
		} else {
			tally(imageKillClass, "steps killed", 1)
			walked.note(step)
		}
		w.goesOn(step)
		if k.again {
			w.g.Must(w, k.args...)
		}
		w.isWhole(step)
	}
}

// passed are the steps of the command.
func (k imageWalk) passed(w *imageGround) []string {
	k.prepare(w)
	w.order("")
	if r := w.stepped(k.args...); r.Code != 0 {
		w.Fatal(r)
	}
	trace, err := os.ReadFile(filepath.Join(w.steps, "trace"))
	if err != nil {
		w.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(trace)), "\n")
}

// order says where the next command is to be killed; empty: nowhere.
func (w *imageGround) order(step string) {
	w.Helper()
	err := errors.Join(os.RemoveAll(w.steps), os.Mkdir(w.steps, 0o700))
	if step != "" {
		err = errors.Join(err, os.WriteFile(filepath.Join(w.steps, "kill"), []byte(step+"\n"), 0o600))
	}
	if err != nil {
		w.Fatal(err)
	}
}

// stepped runs a command that notes its steps.
func (w *imageGround) stepped(args ...string) ground.Result {
	cmd := w.g.Command(args...)
	cmd.Env = append(cmd.Env, "PODRUN_STEPS="+w.steps)
	return ground.Finish(cmd, args)
}

// goesOn: the pod runs, and its container is the process that it was.
func (w *imageGround) goesOn(step string) {
	w.Helper()
	if p, found := victim(w.uid, "main"); !found || p.PID != w.main.PID || p.Start != w.main.Start {
		w.Errorf("after %s: the container is another process", step)
	}
	w.g.Must(w, "exec", "sleeper", "--", "true")
}

// isWhole: nothing is damaged, and after a prune nothing is in the store that
// belongs to no image.
func (w *imageGround) isWhole(step string) {
	w.Helper()
	if r := w.g.Run("image", "check"); r.Code != 0 {
		w.Errorf("after %s: %s", step, r)
	}
	w.g.Must(w, "image", "prune")
	if left := w.orphans(); len(left) > 0 {
		tally(imageKillClass, "leaks", len(left))
		w.Errorf("after %s: left in the store: %v", step, left)
	}
}

// orphans are what is in the store beside its images.
func (w *imageGround) orphans() []string {
	w.Helper()
	dir := w.g.Store.ImageDir()
	images := w.g.Must(w, "image", "ls", "-o", "json")
	var left []string
	for _, pattern := range []string{"tmp/*", "*/.*", "blobs/sha256/*", "layers/*", "garbage"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			w.Fatal(err)
		}
		for _, path := range found {
			part, _, _ := strings.Cut(filepath.Base(path), ".")
			if part == "" || part == "garbage" || filepath.Base(filepath.Dir(path)) == "tmp" || !strings.Contains(images, part) {
				left = append(left, path)
			}
		}
	}
	return left
}

// damage flips a bit of the one file that is called text.
func (w *imageGround) damage() {
	w.Helper()
	found, err := filepath.Glob(filepath.Join(w.g.Store.ImageDir(), "layers/*/text"))
	if err != nil || len(found) != 1 {
		w.Fatalf("find the layer to damage: %v, %v", found, err)
	}
	if err := flipBit(found[0]); err != nil {
		w.Fatal(err)
	}
}

// flipBit changes a bit in the middle of a file.
func flipBit(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 1
	return os.WriteFile(path, data, 0o600)
}

func testRegistry(t *testing.T) (host string) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// ownTar is the root of an image of one file.
func ownTar(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(ground.AddFile(w, "text", "own\n", 0o644), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// pushTestImage pushes an image of two layers of its own: a directory, and the text
// in a file.
func pushTestImage(t testing.TB, reference, text string) {
	t.Helper()
	var layers []v1.Layer
	for _, file := range [][2]string{{"etc/conf", "of " + text}, {"text", text}} {
		layers = append(layers, layerOf(t, file[0], file[1]))
	}
	if err := pushLayers(reference, v1.Config{Cmd: []string{"/text"}}, layers...); err != nil {
		t.Fatal(err)
	}
}

// layerOf is a layer of one file.
func layerOf(t testing.TB, name, text string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(ground.AddFile(w, name, text, 0o644), w.Close()); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// pushLayers pushes an image for this machine.
func pushLayers(reference string, config v1.Config, layers ...v1.Layer) error {
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		return err
	}
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: goruntime.GOOS, Architecture: goruntime.GOARCH, Config: config})
	if err != nil {
		return err
	}
	if img, err = mutate.AppendLayers(img, layers...); err != nil {
		return err
	}
	if err := remote.Write(ref, img); err != nil {
		return fmt.Errorf("push %s: %w", reference, err)
	}
	return nil
}
