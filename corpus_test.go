package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"podrun/ground"
)

// TestCorpus gives manifests of Kubernetes' documentation to `podrun validate`.
// That every one of them gets its verdict is pinned in package manifest.
func TestCorpus(t *testing.T) {
	root := filepath.Join("..", "shared", "corpus", "kubernetes-website")
	if elsewhere := os.Getenv("PODRUN_CORPUS"); elsewhere != "" {
		root = filepath.Join(elsewhere, "kubernetes-website")
	}
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no manifests of others at %s", root)
	}
	for _, test := range []struct {
		file, want string
		code       int
	}{
		{"pods/simple-pod.yaml", `^pod/nginx is valid\n$`, 0},
		{"pods/pod-configmap-volume.yaml", `configmap "special-config" not found`, 0},
		{"pods/probe/exec-liveness.yaml", `^pod/liveness-exec is valid\n$`, 0},
		{"pods/share-process-namespace.yaml", `^pod/nginx is valid\n$`, 0},
		{"pods/pod-with-scheduling-gates.yaml", `pod-with-scheduling-gates.yaml:\d+:\d+: spec.schedulingGates: is not supported by podrun: .*leave it out`, 2},
		{"pods/pod-projected-svc-token.yaml", `spec.volumes\[0\].projected.sources\[0\].serviceAccountToken: is not supported`, 2},
		{"controllers/nginx-deployment.yaml", `nginx-deployment.yaml:\d+:\d+: .*Deployment`, 2},
	} {
		t.Run(filepath.Base(test.file), func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command(ground.Suite.Binary, "--root", dir, "--run-root", dir, "--log-dir", dir, "validate", filepath.Join(root, test.file))
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != test.code {
				t.Errorf("got exit code %d, want %d: %s", got, test.code, out)
			}
			if !regexp.MustCompile(test.want).Match(out) {
				t.Errorf("got %q, want a match of %q", out, test.want)
			}
		})
	}
}
