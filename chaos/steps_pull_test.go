package chaos

import (
	"io"
	"os"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"podrun/ground"
)

// walkedImage is in a registry of the test's own.
var walkedImage string

func pushWalkedImage(t *testing.T) {
	t.Helper()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return os.Open(ground.Suite.Rootfs) })
	if err != nil {
		t.Fatal(err)
	}
	walkedImage = testRegistry(t) + "/walked:v1"
	// The first is that of busybox, and there already.
	if err := pushLayers(walkedImage, v1.Config{Cmd: []string{"sh"}}, layer, layerOf(t, "etc/walked", "yes")); err != nil {
		t.Fatal(err)
	}
}
