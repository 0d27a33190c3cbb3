package image

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMountReadOnly(t *testing.T) {
	script := file{name: "script", body: "#!/bin/sh\n", mode: 0o755}
	store := newStore(t)
	one, err := layered(t, store, []file{script, {name: "old", body: "one"}})
	if err != nil {
		t.Fatal(err)
	}
	two, err := layered(t, store, []file{script, {name: "old", body: "one"}}, []file{{name: "new", body: "two"}, {name: ".wh.old"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		img        *Image
		have, miss string
	}{
		"one layer":  {one, "old", "new"},
		"two layers": {two, "new", "old"},
		"no layer":   {&Image{}, ".", "old"},
	} {
		t.Run(name, func(t *testing.T) {
			target, dir := t.TempDir(), t.TempDir()
			t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
			for range 2 {
				if err := MountReadOnly(test.img, target, dir); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := os.Lstat(filepath.Join(target, test.have)); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(filepath.Join(target, test.miss)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: got %v, want that it is not there", test.miss, err)
			}
			if err := os.WriteFile(filepath.Join(target, "file"), nil, 0o600); !errors.Is(err, unix.EROFS) {
				t.Errorf("write: got %v", err)
			}
			if err := exec.Command(filepath.Join(target, "script")).Run(); test.have != "." && !errors.Is(err, unix.EACCES) {
				t.Errorf("execute: got %v", err)
			}
			if err := unix.Unmount(target, 0); err != nil {
				t.Fatal(err)
			}
			if mounted, err := isMount(target); mounted || err != nil {
				t.Errorf("mounted twice over each other: %v, %v", mounted, err)
			}
		})
	}
}
