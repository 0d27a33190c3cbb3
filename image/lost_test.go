package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLost(t *testing.T) {
	s := newStore(t)
	img := importImage(t, s, "web:1", nil, file{name: "bin/"}, file{name: "bin/sh", body: "program"}, file{name: "bin/ls", body: "other"})
	layer := img.Layers[0]
	if got := img.Lost(); got != "" {
		t.Errorf("a whole image: got %q", got)
	}
	program := filepath.Join(layer, "bin/sh")
	for what, replace := range map[string]func() error{
		"gone":        func() error { return nil },
		"shorter":     func() error { return os.WriteFile(program, []byte("prog"), 0o755) },
		"a directory": func() error { return os.Mkdir(program, 0o755) },
	} {
		if err := errors.Join(os.RemoveAll(program), replace()); err != nil {
			t.Fatal(err)
		}
		if got := img.Lost(); !strings.HasPrefix(got, "bin/sh of layer "+filepath.Base(layer)) || !strings.Contains(got, "podrun image check") {
			t.Errorf("%s: got %q", what, got)
		}
	}
	if err := os.Remove(layer + inventorySuffix); err != nil {
		t.Fatal(err)
	}
	if got := img.Lost(); got != "" {
		t.Errorf("without an inventory: got %q", got)
	}
}
