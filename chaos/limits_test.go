package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"podrun/ground"
)

const shortage = "full disks and other limits"

// shrink makes a file system of one of the ground's directories, with its content.
func shrink(t *testing.T, g *ground.Ground, dir string, options ...string) {
	t.Helper()
	image := dir + ".disk"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	diskOf(t, dir, image, "24M", append([]string{"-m", "0"}, options...)...)
	run(t, "mount", "-o", "loop", image, dir)
	t.Cleanup(func() {
		g.Run("down", "--all", "--force")
		run(t, "umount", "-l", dir)
	})
}

// exhaust takes all inodes that a file system has.
func exhaust(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		f, err := os.Create(filepath.Join(dir, strconv.Itoa(i)))
		if errors.Is(err, unix.ENOSPC) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

// refused wants a failure that names what is wrong, and nothing made; then, with
// the limit gone, the same pod.
func refused(t *testing.T, g *ground.Ground, r ground.Result, words ...string) {
	t.Helper()
	tally(shortage, "faults injected", 1)
	if r.Code != 1 {
		t.Errorf("want exit 1: %s", r)
	}
	if strings.Contains(r.Stderr, "goroutine ") {
		t.Errorf("it crashes: %s", r)
	}
	for _, w := range words {
		if !strings.Contains(r.Stderr, w) {
			t.Errorf("no %q in %s", w, r)
		}
	}
	if ps := g.Run("ps", "-A", "-o", "name"); ps.Code != 0 || ps.Stdout != "" {
		t.Errorf("a half-made pod is left: %s after %s", ps, r)
	}
	left := slices.DeleteFunc(g.Leaks(), func(l string) bool { return strings.Contains(l, "/dev/loop") }) // shrink's
	if len(left) > 0 {
		t.Errorf("left after %s:\n  %s", r, strings.Join(left, "\n  "))
	}
}

// comesUp wants the pod to be as any other.
func comesUp(t *testing.T, g *ground.Ground, file string) {
	t.Helper()
	g.Must(t, "up", file)
	g.Must(t, "down", file)
}

var plain = quickPod("plain", `
  containers: [{name: main, image: busybox, command: [sleep, "3600"]}]
`)

func TestFullRoot(t *testing.T) {
	g := newGround(t, shortage)
	shrink(t, g, g.Store.Root)
	file := g.Write(t, "plain.yaml", plain)
	rest := filepath.Join(g.Store.Root, "rest")
	fill(t, rest)
	refused(t, g, g.Run("up", file), g.Store.Root, "no space left on device")
	refused(t, g, g.Run("image", "import", ground.Suite.Rootfs, "second"), g.Store.Root, "no space left on device")
	if err := os.Remove(rest); err != nil {
		t.Fatal(err)
	}
	comesUp(t, g, file)
	if r := g.Run("image", "check"); r.Code != 0 {
		t.Errorf("after a full disk: %s", r)
	}
	g.Must(t, "image", "import", ground.Suite.Rootfs, "second")
}

func TestNoInodes(t *testing.T) {
	g := newGround(t, shortage)
	shrink(t, g, g.Store.Root, "-N", "1024")
	file := g.Write(t, "plain.yaml", plain)
	rest := filepath.Join(g.Store.Root, "rest")
	exhaust(t, rest)
	refused(t, g, g.Run("up", file), g.Store.Root, "no space left on device")
	if err := os.RemoveAll(rest); err != nil {
		t.Fatal(err)
	}
	comesUp(t, g, file)
}

func TestFullRunRoot(t *testing.T) {
	g := newGround(t, shortage)
	shrink(t, g, g.Store.RunRoot)
	file := g.Write(t, "plain.yaml", plain)
	rest := filepath.Join(g.Store.RunRoot, "rest")
	exhaust(t, rest)
	fill(t, filepath.Join(rest, "0"))
	refused(t, g, g.Run("up", file), g.Store.RunRoot, "no space left on device")
	if err := os.RemoveAll(rest); err != nil {
		t.Fatal(err)
	}
	comesUp(t, g, file)
}

var counter = quickPod("counter", `
  restartPolicy: Never
  containers:
  - name: main
    image: peer
    imagePullPolicy: Never
    args: [lines, -count, "%d", -length, "1000", -rate, "20", -slowest, /dev/termination-log]
`)

// TestFullLogDir: a container waits while its log has no room, and not a byte of
// what it prints is lost.
func TestFullLogDir(t *testing.T) {
	const lines = 12_000
	g := newGround(t, shortage)
	shrink(t, g, g.Store.LogDir)
	rest := filepath.Join(g.Store.LogDir, "rest")
	fill(t, rest)
	if err := os.Truncate(rest, 20<<20); err != nil { // room for a part
		t.Fatal(err)
	}
	up := g.Command("up", g.Write(t, "counter.yaml", fmt.Sprintf(counter, lines)))
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	defer up.Wait()
	uid := uidOf(t, g, "counter")
	ground.Until(t, "the start", func() bool { return strings.Contains(g.Run("ps", "counter").Stdout, "Running") })
	main := mustFind(t, uid, "main") // and none of those that prepare it
	var fs unix.Statfs_t
	ground.Until(t, "a full disk", func() bool { return unix.Statfs(g.Store.LogDir, &fs) == nil && fs.Bavail < 64 })
	if main.Ended() {
		t.Error("a container ended because its log is full")
	}
	tally(shortage, "faults injected", 1)
	if err := os.Remove(rest); err != nil {
		t.Fatal(err)
	}
	ground.Until(t, "the end", func() bool { return strings.Contains(g.Run("ps", "counter").Stdout, "Completed") })
	checkLines(t, g, "counter", lines)
	g.Must(t, "down", "counter")
}

// checkLines wants each line of the writer once and in order.
func checkLines(t *testing.T, g *ground.Ground, pod string, want int) {
	t.Helper()
	got := strings.Split(strings.TrimSuffix(g.Must(t, "logs", pod), "\n"), "\n")
	lost := 0
	for i := range want {
		if i >= len(got) || !strings.HasPrefix(got[i], fmt.Sprintf("%09d ", i)) {
			lost++
		}
	}
	if lost > 0 || len(got) != want {
		t.Errorf("%d lines of %d, %d of them not what they should be: %.80q", len(got), want, lost, got[0])
	}
	tally(shortage, "bytes lost", lost*1000)
}

func TestReadOnlyRoot(t *testing.T) {
	g := newGround(t, shortage)
	file := g.Write(t, "plain.yaml", plain)
	readOnly := `mount --bind "$PODRUN_ROOT" "$PODRUN_ROOT" && mount -o remount,bind,ro "$PODRUN_ROOT"`
	refused(t, g, inside(g, readOnly, "up", file), g.Store.Root, "read-only file system")
	if r := inside(g, readOnly, "ps"); r.Code != 0 {
		t.Errorf("a read-only root cannot be looked at: %s", r)
	}
	comesUp(t, g, file)
}

// TestFewDescriptors: a small limit of the caller's is not podrun's; one that
// cannot be raised is named before anything is made.
func TestFewDescriptors(t *testing.T) {
	g := newGround(t, shortage)
	file := g.Write(t, "plain.yaml", plain)
	for _, limit := range []string{"ulimit -S -n 8", "ulimit -n 64"} {
		tally(shortage, "faults injected", 1)
		for _, command := range []string{"up", "down"} {
			if r := inside(g, limit, command, file); r.Code != 0 {
				t.Errorf("after %s: %s", limit, r)
			}
		}
	}
	const weak = `ulimit -n 16 && set -- setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource "$@"`
	refused(t, g, inside(g, weak, "up", file), "may open only 16 files", "ulimit -n")
	comesUp(t, g, file)
}

func TestReadOnlySysctls(t *testing.T) {
	g := newGround(t, shortage)
	file := g.Write(t, "plain.yaml", plain)
	r := inside(g, "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys", "up", file)
	if r.Code == 0 { // all that the machine needs is set already
		g.Must(t, "down", file)
		return
	}
	refused(t, g, r, "/proc/sys/", "read-only file system")
	comesUp(t, g, file)
}

// TestMissingController: of a controller that the machine does not have, what
// needs it is refused by name.
func TestMissingController(t *testing.T) {
	g := newGround(t, shortage)
	if _, err := os.Stat("/sys/fs/cgroup/memory"); err != nil {
		t.Skip("cgroup v2 has all its controllers in one place, where none can be hidden: vmtest boots without one")
	}
	limited := g.Write(t, "limited.yaml", strings.Replace(plain, `"3600"]`, `"3600"], resources: {limits: {memory: 64Mi}}`, 1))
	hidden := "umount /sys/fs/cgroup/memory"
	refused(t, g, inside(g, hidden, "up", limited), "memory")
	comesUp(t, g, limited)
}

// TestFewProcesses: in a cgroup that can have but a few more, up fails or comes
// through, and leaves nothing half made.
func TestFewProcesses(t *testing.T) {
	g := newGround(t, shortage)
	group, procs := "/sys/fs/cgroup/pids/podrun-test-"+g.Store.Instance, "cgroup.procs"
	if _, err := os.Stat("/sys/fs/cgroup/pids"); err != nil {
		group = "/sys/fs/cgroup/podrun-test-" + g.Store.Instance
	}
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	defer ground.Until(t, "the end of the cgroup", func() bool { return os.Remove(group) == nil })
	file := g.Write(t, "plain.yaml", plain)
	for _, n := range []int{5, 8, 10, 14} {
		if err := os.WriteFile(filepath.Join(group, "pids.max"), []byte(strconv.Itoa(n)), 0); err != nil {
			t.Fatal(err)
		}
		r := inside(g, "echo $$ >"+filepath.Join(group, procs), "up", file)
		tally(shortage, "faults injected", 1)
		if r.Code != 0 { // the Go runtime gives up, in its own words, where it cannot make a thread
			g.Run("down", "plain")
		}
		g.Run("resume")
		g.Run("down", "plain")
		if left := g.Leaks(); len(left) > 0 {
			t.Errorf("with %d processes, left after %s:\n  %s", n, r, strings.Join(left, "\n  "))
		}
	}
	comesUp(t, g, file)
}
