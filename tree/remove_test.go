package tree

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newTree returns a directory that a container may write to, and the one above.
func newTree(t *testing.T) (volume, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "volumes")
	volume = filepath.Join(dir, "data")
	ok(t, os.MkdirAll(volume, 0o755))
	return volume, dir
}

func TestRemoveEveryKindOfFile(t *testing.T) {
	volume, dir := newTree(t)
	outside := t.TempDir()
	write(t, outside+"/kept", "x")
	at := func(name string) string { return filepath.Join(volume, name) }
	ok(t, os.Mkdir(at("dir"), 0o755))
	write(t, at("dir/foreign"), "x")
	ok(t, os.Chown(at("dir/foreign"), 12345, 54321))
	ok(t, os.Chown(at("dir"), 12345, 54321))
	ok(t, os.Chmod(at("dir"), 0))
	ok(t, os.Symlink(outside, at("link")))
	ok(t, os.Symlink("link", at("link to link")))
	ok(t, os.Link(at("dir/foreign"), at("hard link")))
	ok(t, unix.Mkfifo(at("pipe"), 0))
	ok(t, unix.Mknod(at("device"), unix.S_IFCHR, int(unix.Mkdev(1, 3))))
	ok(t, unix.Mknod(at("socket"), unix.S_IFSOCK, 0))
	write(t, at("new\nline \xff\\"), "x")
	write(t, at(strings.Repeat("n", 255)), "x")
	ok(t, Remove(dir))
	ok(t, Remove(dir))
	checkGone(t, dir)
	if got := read(t, outside+"/kept"); got != "x" {
		t.Errorf("the file behind the link: got %q", got)
	}
}

func TestRemoveManyFiles(t *testing.T) {
	volume, dir := newTree(t)
	for d := range 3 {
		sub := fmt.Sprintf("%s/%d", volume, d)
		ok(t, os.Mkdir(sub, 0o755))
		for n := range 800 { // more than one getdents buffer
			write(t, fmt.Sprintf("%s/some longer name %d", sub, n), "")
		}
	}
	ok(t, Remove(dir))
	checkGone(t, dir)
}

// TestRemoveDeepTree removes a tree whose paths are longer than PATH_MAX and
// deeper than there are descriptors.
func TestRemoveDeepTree(t *testing.T) {
	volume, dir := newTree(t)
	const depth = 1500
	name := strings.Repeat("d", 50)
	fd := must(unix.Open(volume, unix.O_PATH|unix.O_DIRECTORY, 0))(t)
	for n := range depth {
		ok(t, unix.Mkdirat(fd, name, 0o700))
		if n%100 == 50 {
			ok(t, unix.Symlinkat("/", fd, "..deep-"+fmt.Sprint(n))) // a name that flatten would take
			ok(t, unix.Mkdirat(fd, "beside", 0o700))
		}
		next := must(unix.Openat(fd, name, unix.O_PATH|unix.O_DIRECTORY, 0))(t)
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
	ok(t, os.Mkdir(volume+"/..deep-1", 0o700)) // what a killed Remove left
	write(t, volume+"/..deep-2", "")
	set(t, volume, immutable)
	var limit unix.Rlimit
	ok(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	ok(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 128, Max: limit.Max}))
	ok(t, Remove(dir))
	checkGone(t, dir)
}

const immutable, appendOnly = 0x10, 0x20

func set(t *testing.T, path string, attribute uint32) {
	t.Helper()
	f := must(os.Open(path))(t)
	defer f.Close()
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags|attribute))
	}
	if err != nil {
		t.Fatalf("set an attribute of %s: %v: run the tests with TMPDIR on ext4, xfs or btrfs", path, err)
	}
}

func TestRemoveFilesWithAttributes(t *testing.T) {
	volume, dir := newTree(t)
	for _, sub := range []string{"immutable", "append", "nested/immutable", "nested/append"} {
		ok(t, os.MkdirAll(filepath.Join(volume, sub, "empty"), 0o755))
		write(t, filepath.Join(volume, sub, "file"), "x")
		ok(t, os.Symlink("file", filepath.Join(volume, sub, "link")))
	}
	set(t, volume+"/immutable/file", immutable)
	set(t, volume+"/append/file", appendOnly)
	set(t, volume+"/nested/immutable/empty", immutable)
	set(t, volume+"/nested/append", appendOnly)
	set(t, volume+"/nested/immutable", immutable)
	set(t, volume+"/nested", immutable)
	set(t, volume, appendOnly)
	ok(t, Remove(dir))
	checkGone(t, dir)
}

func TestRemoveLeavesMounts(t *testing.T) {
	volume, dir := newTree(t)
	outside := t.TempDir()
	write(t, outside+"/kept", "x")
	bind := func(source, target string) string {
		ok(t, unix.Mount(source, target, "", unix.MS_BIND, ""))
		t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
		return target
	}
	ok(t, os.MkdirAll(volume+"/a/b/mounted", 0o755))
	write(t, volume+"/a/file", "")
	write(t, volume+"/a/more", "")
	mounts := []string{bind(outside, volume+"/a/b/mounted"), bind(outside+"/kept", volume+"/a/file")}
	err := Remove(dir)
	for _, mount := range mounts {
		checkError(t, err, mount+" is a mount point: unmount it and repeat")
	}
	if got := strings.Count(fmt.Sprint(err), "\n") + 1; got != len(mounts) {
		t.Errorf("got %d lines for %d mounts: %v", got, len(mounts), err)
	}
	checkGone(t, volume+"/a/more")
	if got := read(t, outside+"/kept"); got != "x" {
		t.Errorf("the mounted file: got %q", got)
	}
	for _, mount := range mounts {
		ok(t, unix.Unmount(mount, 0))
	}
	ok(t, Remove(dir))
	checkGone(t, dir)
}

func TestRemoveTellsOfTheFirst(t *testing.T) {
	var r remover
	for n := range 2 * maxTold {
		r.tell("unlink", strings.Repeat("n", 10*maxShown)+fmt.Sprint(n), unix.EROFS)
		r.tell("unlink", fmt.Sprint(n), unix.EROFS)
		r.tell("unlink", fmt.Sprint(n), unix.EROFS) // again, in a later round
	}
	lines := strings.Split(r.err().Error(), "\n")
	if got, want := len(lines), maxTold+1; got != want {
		t.Errorf("got %d lines, want %d: %q", got, want, lines)
	}
}
