package chaos

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"podrun/ground"
)

// walkGround is the ground of many sessions, one after the other.
type walkGround struct {
	*ground.Ground
	stays []string // files that are there after any session
	port  int
}

func newWalkGround(t *testing.T, binary string) *walkGround {
	g := &walkGround{Ground: newGroundOf(t, killClass, binary)}
	if err := os.Mkdir(g.steps(), 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if g.port, err = g.FreePort(); err != nil {
		t.Fatal(err)
	}
	g.Must(t, "image", "import", "--change", "ENV WORD=second", ground.Suite.Rootfs, "second")
	g.Must(t, "image", "import", "--change", "VOLUME /home", ground.Suite.Rootfs, "volume")
	return g
}

func (g *walkGround) steps() string { return filepath.Join(g.Dir, "steps") }
func (g *walkGround) trace() string { return filepath.Join(g.steps(), "trace") }
func (g *walkGround) order() string { return filepath.Join(g.steps(), "kill") }

// clear makes the ground fit for another session after one that has failed, if it can be.
func (g *walkGround) clear() bool {
	os.Remove(g.order())
	g.Run("down", "--all", "--force", "--volumes")
	g.stays = nil
	return len(g.Leaks()) == 0
}

// files are all that podrun has on its disk, but for the images.
func (g *walkGround) files(t *testing.T) []string {
	var found []string
	for _, top := range []string{g.Store.Root, g.Store.RunRoot, g.Store.LogDir} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() && path == g.Store.ImageDir() {
				return fs.SkipDir
			}
			found = append(found, path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// makeWorld makes what the sessions need of the machine as it is before them.
func (g *walkGround) makeWorld() error {
	world := filepath.Join(g.Dir, "world")
	err := errors.Join(os.RemoveAll(world), os.RemoveAll(filepath.Join(g.Dir, "host")))
	return errors.Join(err, os.Mkdir(world, 0o755))
}
