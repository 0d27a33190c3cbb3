package state

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
)

func TestWriteFile(t *testing.T) {
	for _, d := range []Durability{Volatile, Durable} {
		for _, test := range []struct {
			name, old, data string
			mode            os.FileMode
		}{
			{"new", "", "hello", 0o600},
			{"replaced", "a longer one", "short", 0o644},
			{"empty", "full", "", 0o400},
			{"a*b", "", "CreateTemp has a meaning for stars", 0o600},
			{strings.Repeat("n", 255), "", "the longest name", 0o600},
		} {
			path := filepath.Join(t.TempDir(), test.name)
			if test.old != "" {
				must(t, os.WriteFile(path, []byte(test.old), 0o777))
			}
			must(t, WriteFile(path, []byte(test.data), test.mode, d))
			got, err := os.ReadFile(path)
			must(t, err)
			info, err := os.Stat(path)
			must(t, err)
			if string(got) != test.data || info.Mode() != test.mode {
				t.Errorf("%s: got %q %v, want %q %v", test.name, got, info.Mode(), test.data, test.mode)
			}
			if left := names(t, filepath.Dir(path)); len(left) != 1 {
				t.Errorf("%s: left beside the file: %v", test.name, left)
			}
		}
	}
}

func TestWriteFileThatCannotLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "full", "inside"), 0o755))
	tests := []struct{ why, path string }{
		{"a directory with an entry cannot be replaced", filepath.Join(dir, "full")},
		{"no such directory", filepath.Join(dir, "none", "file")},
		{"a file is no directory", filepath.Join("/proc/self/stat", "file")},
		{"the name is too long", filepath.Join(dir, strings.Repeat("n", 256))},
	}
	for _, test := range tests {
		if err := WriteFile(test.path, []byte("x"), 0o600, Durable); err == nil {
			t.Errorf("%s: no error", test.why)
		}
	}
	if got, want := names(t, dir), []string{"full"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v left, want %v", got, want)
	}
}

// A reader sees one of the contents, whole.
func TestWriteFileIsAtomic(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	contents := [][]byte{bytes.Repeat([]byte("a"), 100_000), bytes.Repeat([]byte("b"), 50_000)}
	must(t, WriteFile(path, contents[0], 0o600, Volatile))
	done := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				got, err := os.ReadFile(path)
				if err != nil || !bytes.Equal(got, contents[0]) && !bytes.Equal(got, contents[1]) {
					t.Errorf("read a part: %d bytes, %v", len(got), err)
					return
				}
			}
		})
	}
	for i := range 300 {
		if err := WriteFile(path, contents[i%2], 0o600, Volatile); err != nil {
			t.Error(err)
		}
	}
	close(done)
	all.Wait()
}
