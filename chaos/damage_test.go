package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"podrun/ground"
)

const damageClass = "damaged stores of images"

// damages are what happens to one file.
var damages = map[string]func(path string) error{
	"truncated": func(path string) error { return os.Truncate(path, 10) },
	"removed":   os.RemoveAll,
	"changed":   flipBit,
}

var appPod = quickPod("app", `
  restartPolicy: Never
  containers: [{name: main, image: %q, imagePullPolicy: %s}]
`)

// TestImagesDamaged damages each kind of file in the store: check finds it and
// names the image, up with the damaged image says what to do or is not touched by
// it, and after a repair the image runs and says what it said.
func TestImagesDamaged(t *testing.T) {
	g := newGround(t, damageClass)
	g.Must(t, "image", "prune", "--all")
	app := testRegistry(t) + "/app:v1"
	base, err := tarball.LayerFromFile(ground.Suite.Rootfs)
	if err != nil {
		t.Fatal(err)
	}
	top := layerOf(t, "text", "hello\n")
	if err := pushLayers(app, v1.Config{Cmd: []string{"/bin/cat", "/text"}, Env: []string{"PATH=/bin"}}, base, top); err != nil {
		t.Fatal(err)
	}
	never := g.Write(t, "never.yaml", fmt.Sprintf(appPod, app, "Never"))
	whole := g.Write(t, "whole.yaml", fmt.Sprintf(appPod, app, "IfNotPresent"))
	store := g.Store.ImageDir()
	for _, kind := range []struct {
		name, pattern string
		stops         bool // up cannot go on
	}{
		{"config and manifest", "blobs/sha256/*", false},
		{"layers", "layers/*[0-9a-f]", true},
		{"a program", "layers/*/bin/busybox", false},
		{"a text", "layers/*/text", false},
		{"what is known of a layer", "layers/*.json", false},
		{"the inventory of a layer", "layers/*.files", false},
		{"the reference", "references/127*.json", true},
		{"the image's own record", "references/sha256*.json", false},
	} {
		for harm, do := range damages {
			if kind.name == "layers" && harm != "removed" {
				continue // a directory
			}
			t.Run(kind.name+" "+harm, func(t *testing.T) {
				g.Must(t, "image", "pull", app)
				tally(damageClass, "faults injected", 1)
				found, err := filepath.Glob(filepath.Join(store, kind.pattern))
				if err != nil || len(found) == 0 {
					t.Fatalf("%s: %v, %v", kind.pattern, found, err)
				}
				for _, path := range found {
					if err := do(path); err != nil {
						t.Fatal(err)
					}
				}
				unknown := kind.name == "the reference" && harm == "removed" // nobody can tell that it was there
				if r := g.Run("image", "check"); (r.Code == 0) != unknown || !unknown && !strings.Contains(r.Stdout+r.Stderr, "podrun image check --repair") {
					t.Errorf("%s\nwant the damage", r)
				}
				if r := g.Run("up", never); kind.stops && !unknown && (r.Code == 0 || !strings.Contains(r.Stderr, "podrun image check --repair")) {
					t.Errorf("%s\nwant what to do", r)
				}
				g.Run("down", "app")
				if r := g.Run("image", "check", "--repair"); r.Code != 0 {
					t.Error(r)
				}
				if out := g.Must(t, "image", "check"); !strings.Contains(out, "nothing is damaged") {
					t.Error(out)
				}
				g.Must(t, "up", whole)
				ground.Until(t, "the text", func() bool { return g.Run("logs", "app").Stdout == "hello\n" })
				g.Must(t, "down", "app")
			})
		}
	}
}
