package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMountManyLayers mounts 127 layers, as many as docker makes: each adds a
// file, takes one of an earlier layer away, and some hide a directory.
func TestMountManyLayers(t *testing.T) {
	const count = 127
	var layers [][]file
	for i := range count {
		files := []file{{name: fmt.Sprintf("f%d", i), body: fmt.Sprint(i)}, {name: "top", body: fmt.Sprint(i)}, {name: fmt.Sprintf("dir/%d", i)}}
		if i%2 == 1 {
			files = append(files, file{name: fmt.Sprintf(".wh.f%d", i/2)})
		}
		if i == 100 {
			files = append(files, file{name: "dir/.wh..wh..opq"})
		}
		layers = append(layers, files)
	}
	img, err := layered(t, newStore(t), layers...)
	if err != nil {
		t.Fatal(err)
	}
	root := mountImage(t, img)
	wantFile(t, filepath.Join(root, "top"), "126")
	for i := range count {
		_, err := os.Lstat(filepath.Join(root, fmt.Sprintf("f%d", i)))
		if hidden := i < count/2; hidden != errors.Is(err, os.ErrNotExist) {
			t.Errorf("f%d = %v, want hidden: %v", i, err, hidden)
		}
	}
	entries, err := os.ReadDir(filepath.Join(root, "dir"))
	if err != nil || len(entries) != count-100 {
		t.Errorf("dir has %d entries, %v; want those of the last %d layers", len(entries), err, count-100)
	}
	if info, err := os.Readlink("/proc/self/cwd"); err != nil || strings.Contains(info, "layers") {
		t.Errorf("the process is in %s, %v", info, err)
	}
	too := *img
	for range 3 {
		too.Layers = append(too.Layers, too.Layers...)
	}
	if err := Mount(&too, t.TempDir(), filepath.Join(t.TempDir(), "rw")); err == nil || !strings.Contains(err.Error(), "one page") {
		t.Errorf("Mount of %d layers = %v, want that they do not fit", len(too.Layers), err)
	}
}

// TestMountAgain: a mount that is there stays, with what was written; after an
// unmount the same directories can be mounted again, although the mount is volatile.
func TestMountAgain(t *testing.T) {
	img := importImage(t, newStore(t), "x", nil, file{name: "d/"}, file{name: "d/a", body: "a"})
	base := t.TempDir()
	target, dir := filepath.Join(base, "root:fs,1"), filepath.Join(base, `r:w,\`)
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
	for round := range 2 {
		for range 2 {
			if err := Mount(img, target, dir); err != nil {
				t.Fatal(err)
			}
		}
		if round == 0 {
			if err := os.Rename(filepath.Join(target, "d"), filepath.Join(target, "e")); err != nil {
				t.Errorf("rename a directory of the image: %v", err)
			}
		}
		wantFile(t, filepath.Join(target, "e/a"), "a")
		if err := unix.Unmount(target, 0); err != nil {
			t.Fatal(err)
		}
	}
	if mounted, err := isOverlay(target); mounted || err != nil {
		t.Errorf("mounted twice over each other: %v, %v", mounted, err)
	}
}

func TestMountWithoutLayers(t *testing.T) {
	root := mountImage(t, &Image{})
	if entries, err := os.ReadDir(root); len(entries) > 0 || err != nil {
		t.Errorf("an image from scratch has %v, %v", entries, err)
	}
}

// TestMountOnTmpfs: the upper directory may be on another kind of filesystem.
func TestMountOnTmpfs(t *testing.T) {
	needRoot(t)
	base := t.TempDir()
	if err := unix.Mount("tmpfs", base, "tmpfs", 0, "size=16m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(base, 0); err != nil {
			t.Error(err)
		}
	})
	s, err := Open(filepath.Join(base, "images"))
	if err != nil {
		t.Fatal(err)
	}
	img := importImage(t, s, "x", nil, file{name: "a", body: "a"})
	target := filepath.Join(base, "root")
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Mount(img, target, filepath.Join(base, "rw")); err != nil {
		t.Fatal(err)
	}
	wantFile(t, filepath.Join(target, "a"), "a")
	if err := unix.Unmount(target, 0); err != nil {
		t.Error(err)
	}
}

func BenchmarkMount(b *testing.B) {
	base := b.TempDir()
	for _, count := range []int{1, 10, 127} {
		img := &Image{}
		for i := range count {
			img.Layers = append(img.Layers, filepath.Join(base, "layers", fmt.Sprintf("%024x", i)))
			if err := os.MkdirAll(img.Layers[i], 0o755); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			for i := range b.N {
				target := filepath.Join(base, fmt.Sprintf("%d-%d-%d", count, b.N, i))
				if err := os.Mkdir(target, 0o755); err != nil {
					b.Fatal(err)
				}
				if err := Mount(img, target, target+".rw"); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := unix.Unmount(target, 0); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
