package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCorpus reads the manifests of Kubernetes' documentation, which lie beside the repository, and pins
// what is said of each: what validates must go on validating, and a complaint must name a place and a field.
func TestCorpus(t *testing.T) {
	root := filepath.Join("..", "..", "shared", "corpus")
	if elsewhere := os.Getenv("PODRUN_CORPUS"); elsewhere != "" {
		root = elsewhere
	}
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no manifests of others at %s", root)
	}
	complaint := regexp.MustCompile(`^\S+:\d+:\d+: \S.*$`)
	var out strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err != nil || ext != ".yaml" && ext != ".yml" && ext != ".json" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		o, parseErr := Parse([]Source{{name, data}}, Options{})
		if parseErr == nil {
			fmt.Fprintf(&out, "%s: %d pods, %d other objects, %d skipped, %d fields ignored\n", name,
				len(o.Pods), len(o.ConfigMaps)+len(o.Secrets)+len(o.Claims), len(o.Skipped), len(o.Ignored))
			return nil
		}
		for line := range strings.SplitSeq(parseErr.Error(), "\n") {
			if !complaint.MatchString(line) {
				t.Errorf("%s: not a complaint with its place: %q", name, line)
			}
			fmt.Fprintln(&out, line)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "corpus.txt"), out.String())
}
