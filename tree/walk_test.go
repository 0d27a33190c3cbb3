package tree

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A tree that is deeper than there are descriptors is measured, and given to a
// group, to its bottom and beside it.
func TestDeepTree(t *testing.T) {
	_, dir := newTree(t)
	const depth = 300
	fd := must(unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0))(t)
	for range depth {
		ok(t, unix.Mkdirat(fd, "d", 0o700))
		ok(t, unix.Mkdirat(fd, "z", 0o700))
		next := must(unix.Openat(fd, "d", unix.O_PATH|unix.O_DIRECTORY, 0))(t)
		file := must(unix.Openat(fd, "z/file", unix.O_CREAT|unix.O_WRONLY, 0o600))(t)
		must(unix.Write(file, []byte("x")))(t)
		unix.Close(file)
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
	want := du(t, dir)
	var limit unix.Rlimit
	ok(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	ok(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 128, Max: limit.Max}))
	if got := must(Usage(dir))(t); got != want {
		t.Errorf("got %d bytes, du says %d", got, want)
	}
	ok(t, Give(dir, testGroup, false))
	given := 0
	ok(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		want := "4321 2770"
		switch {
		case e.Type().IsRegular():
			want = "4321 660"
		case path == dir || filepath.Dir(path) == dir && e.Name() == "data":
			want = "4321 2775"
		}
		if got := stat(t, path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
		given++
		return nil
	}))
	if want := 2 + 3*depth; given != want {
		t.Errorf("looked at %d files, want %d", given, want)
	}
}

// A walk whose directory was moved away does not go on where ".." leads now.
func TestWalkThatIsMoved(t *testing.T) {
	_, dir := newTree(t)
	outside := t.TempDir()
	path := dir
	for range maxOpen + 2 {
		path += "/d"
	}
	ok(t, os.MkdirAll(path, 0o700))
	fd := must(unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0))(t)
	w := walker{base: dir}
	w.enter = func(int, *unix.Stat_t) ([]string, error) {
		switch len(w.stack) {
		case maxOpen + 3:
			return nil, os.Rename(dir+"/d/d", outside+"/d")
		}
		return []string{"d"}, nil
	}
	checkError(t, w.walk(fd), errMoved.Error())
}
