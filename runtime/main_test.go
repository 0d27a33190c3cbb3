package runtime

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"podrun/fence"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// The first process of a container is this program again: the package's init
// sees to it.
func TestMain(m *testing.M) { fence.Around(m, "runtime", leftovers) }

// cgroupTop keeps the tests' cgroups from those of real pods.
var cgroupTop = fmt.Sprintf("/podrun-runtime-test%d", os.Getpid())

// cgroupDirs are the directories that match the pattern, in every hierarchy.
func cgroupDirs(pattern string) []string {
	var dirs []string
	for _, top := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		found, _ := filepath.Glob(top + pattern)
		for _, dir := range found {
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

func leftovers() []string {
	goruntime.GC() // closes what libcontainer leaves to finalizers
	goruntime.GC()
	time.Sleep(20 * time.Millisecond)
	left := append(fence.Mounts(os.TempDir()), cgroupDirs(cgroupTop)...)
	left = append(left, fence.Children()...)
	return append(left, fence.Files("/", "/sys/fs/cgroup")...)
}

// rig is what a pod gives to its containers.
type rig struct {
	testing.TB
	root   string // of the state directories
	rootfs string
	shm    string
	pause  int
	number int
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{TB: t, root: t.TempDir(), rootfs: imageTree(t), shm: t.TempDir()}
	for _, dir := range []string{"bin", "proc", "sys", "dev", "tmp", "data"} {
		must(t, os.Mkdir(filepath.Join(r.rootfs, dir), 0o755))
	}
	must(t, os.Chmod(r.rootfs, 0o755))
	busybox, err := os.ReadFile("/bin/busybox")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(r.rootfs, "bin/busybox"), busybox, 0o755))
	for _, name := range []string{"sh", "cat", "sleep", "setsid", "true", "id", "ls", "grep", "tty", "stty", "readlink", "env", "touch", "mount", "hostname"} {
		must(t, os.Symlink("busybox", filepath.Join(r.rootfs, "bin", name)))
	}
	pause, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{
		Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS},
	})
	must(t, err)
	r.pause = pause.Pid
	t.Cleanup(func() {
		pause.Kill()
		pause.Wait()
		for _, dir := range cgroupDirs(cgroupTop) {
			must(t, unix.Rmdir(dir))
		}
		if left, err := os.ReadDir(r.root); err != nil || len(left) > 0 {
			t.Errorf("state is left: %v (%v)", left, err)
		}
	})
	return r
}

// spec is a container that runs a script.
func (r *rig) spec(script string) *Spec {
	r.number++
	id := fmt.Sprintf("c%d", r.number)
	return &Spec{
		ID: id, Pod: &v1.Pod{}, Container: &v1.Container{Name: "c"}, Rootfs: r.rootfs, Hostname: "web", Shm: r.shm,
		Command: []string{"/bin/sh", "-c", script}, PausePID: r.pause, Cgroup: cgroupTop + "/" + id, OOMScore: 900,
	}
}

// run is one container from Create to Destroy.
func (r *rig) run(s *Spec) (output string, exit Exit) {
	r.Helper()
	c, out := r.create(s)
	_, err := c.Start(nil)
	must(r, err)
	return r.finish(c, out)
}

func (r *rig) create(s *Spec) (*Container, *os.File) {
	r.Helper()
	read, write, err := os.Pipe()
	must(r, err)
	c, err := Create(r.root, s, Streams{Stdout: write, Stderr: write})
	write.Close()
	if err != nil {
		read.Close()
		r.Fatal(err)
	}
	return c, read
}

// finish waits for the end of a container and removes it.
func (r *rig) finish(c *Container, out *os.File) (output string, exit Exit) {
	r.Helper()
	defer out.Close()
	data, err := io.ReadAll(out)
	must(r, err)
	exit = waitFor(r, c)
	must(r, c.Destroy())
	return strings.TrimSpace(string(data)), exit
}

// waitFor reads the exit of the container's first process and reaps it.
func waitFor(t testing.TB, c *Container) Exit {
	t.Helper()
	w, err := c.NewWatch()
	must(t, err)
	defer w.Close()
	must(t, w.Wait())
	first, err := w.Peek()
	must(t, err)
	again, err := w.Peek()
	must(t, err)
	if first != again {
		t.Errorf("two looks at one exit: %+v and %+v", first, again)
	}
	w.Reap()
	if _, err := w.Peek(); err != ErrNotChild {
		t.Errorf("after the reaping: got %v, want ErrNotChild", err)
	}
	return first
}

func soon(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("after 10 s still not so: %s", what)
			return
		}
	}
}
