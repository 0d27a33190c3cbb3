package manifest

import (
	"os/exec"
	"strings"
	"testing"
)

// TestImports holds the arrows: manifest is on the lowest floor and on the start-up path of every command.
func TestImports(t *testing.T) {
	banned := map[string]string{
		"github.com/opencontainers/": "manifests are read without containers",
		"github.com/vishvananda/":    "and without a network",
		"k8s.io/client-go":           "there is no API server, and its schemes cost milliseconds of start-up",
		"k8s.io/kubernetes":          "it is no library",
		"sigs.k8s.io/yaml":           "it keeps no positions; tests compare with it",
		"runtime/cgo":                "no cgo",
	}
	list := exec.Command("go", "list", "-deps", ".")
	list.Env = append(list.Environ(), "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		for prefix, reason := range banned {
			if strings.HasPrefix(dep, prefix) {
				t.Errorf("imports %s: %s", dep, reason)
			}
		}
		if strings.HasPrefix(dep, "podrun/") && !strings.HasPrefix(dep, "podrun/manifest") {
			t.Errorf("imports %s: manifest stands below every other room", dep)
		}
	}
}
