package image

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// otherUsers is a user namespace with 1000 ids from first on.
func otherUsers(t *testing.T, first int) *os.File {
	t.Helper()
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: first, Size: 1000}}
	holder := exec.Command("sleep", "1000")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer holder.Wait()
	defer holder.Process.Kill()
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", holder.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

// TestMountFor: the files of all layers have the ids of another user namespace,
// also once they are copied up, and nothing but the root file system is mounted.
func TestMountFor(t *testing.T) {
	const first = 70000
	owner := Owner{Namespace: otherUsers(t, first), Root: first}
	img, err := layered(t, newStore(t),
		[]file{{name: "low", body: "low", uid: 5}, {name: "gone"}},
		[]file{{name: "high", body: "high"}, {name: ".wh.gone"}})
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	target, dir := filepath.Join(base, "root"), filepath.Join(base, "dir,with:signs")
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
	for range 2 {
		if err := MountFor(owner, img, target, dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(target, "low"), []byte("changed"), 0); err != nil { // copied up
		t.Fatal(err)
	}
	for name, want := range map[string][2]uint32{
		".": {first, first}, "high": {first, first}, "low": {first + 5, first + 5},
	} {
		info, err := os.Stat(filepath.Join(target, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t); got.Uid != want[0] || got.Gid != want[1] {
			t.Errorf("%s belongs to %d:%d, want %d:%d", name, got.Uid, got.Gid, want[0], want[1])
		}
	}
	if _, err := os.Stat(filepath.Join(target, "gone")); !os.IsNotExist(err) {
		t.Errorf("gone: %v", err)
	}
	err = filepath.WalkDir(img.Layers[0], func(path string, _ fs.DirEntry, err error) error {
		if info, serr := os.Lstat(path); serr == nil && info.Sys().(*syscall.Stat_t).Uid >= first {
			t.Errorf("%s of the image has changed its owner", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if n := strings.Count(string(table), base); err != nil || n != 1 {
		t.Errorf("%d mounts below %s (%v), want the root file system alone", n, base, err)
	}
}
