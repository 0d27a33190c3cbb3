package volumes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newTree returns the directory of a volume and its Spec.Dir.
func newTree(t *testing.T) (volume, dir string) {
	t.Helper()
	s := newSpec(t, emptyDir("data"))
	must(Mount(s))(t)
	return filepath.Join(s.Dir, "data"), s.Dir
}

func checkGone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", path, err)
	}
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

// TestRemoveInTheWrongNamespace asks for the removal while the mounts of the
// pod are still in sight.
func TestRemoveInTheWrongNamespace(t *testing.T) {
	outside := t.TempDir()
	ok(t, os.Mkdir(outside+"/sub", 0o755))
	write(t, outside+"/sub/kept", "x")
	s := newSpec(t, onHost(outside, ""), memory("memory"))
	inPod(t, func() {
		set := must(Mount(s))(t)
		c := s.Pod.Spec.Containers[0]
		c.VolumeMounts[0].SubPath = "sub"
		binds := must(set.Binds(&c, "c-0"))(t)
		shm := must(Shm(filepath.Dir(s.Dir), 0, 0))(t)
		err := Remove(s.Dir)
		for _, path := range []string{binds[0].Source, shm} {
			checkError(t, err, path+": device or resource busy: it is still mounted: unmount it and repeat")
		}
		checkError(t, err, s.Dir+"/memory is a mount point")
	})
	if got := read(t, outside+"/sub/kept"); got != "x" {
		t.Errorf("the host's file: got %q", got)
	}
}

// TestRemoveKeepsWhatIsInAMountPoint: something is wrong if a mount point is
// not empty, and Remove does not guess.
func TestRemoveKeepsWhatIsInAMountPoint(t *testing.T) {
	_, dir := newTree(t)
	point := filepath.Join(filepath.Dir(dir), subPathDirectory, "c-0/0")
	ok(t, os.MkdirAll(point+"/data", 0o755))
	checkError(t, Remove(dir), point+": directory not empty")
	ok(t, os.Remove(point+"/data"))
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

func TestRemoveClaim(t *testing.T) {
	s := newSpec(t, claim("data"), claim("other"))
	must(Mount(s))(t)
	dir := filepath.Join(s.Claims, "data")
	write(t, dir+"/data/file", "x")
	write(t, s.Claims+"/other/data/file", "x")
	mounted := dir + "/data/mounted"
	ok(t, os.Mkdir(mounted, 0o755))
	ok(t, unix.Mount("tmpfs", mounted, "tmpfs", 0, ""))
	defer unix.Unmount(mounted, unix.MNT_DETACH)
	checkError(t, RemoveClaim(dir), `remove claim "data": `+mounted+" is a mount point: unmount it and repeat; nothing was removed")
	if got := read(t, dir+"/data/file"); got != "x" {
		t.Errorf("a refused removal: got %q", got)
	}
	ok(t, unix.Unmount(mounted, 0))
	killed := filepath.Join(s.Claims, ".data.removed")
	ok(t, os.MkdirAll(killed+"/data/file", 0o755)) // what a killed removal left
	ok(t, RemoveClaim(dir+"/"))
	ok(t, RemoveClaim(dir))
	checkGone(t, dir)
	checkGone(t, killed)
	if got := read(t, s.Claims+"/other/data/file"); got != "x" {
		t.Errorf("another claim: got %q", got)
	}
	ok(t, RemoveClaim(filepath.Join(t.TempDir(), "no/namespace/claim")))
}
