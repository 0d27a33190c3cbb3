package volumes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"podrun/fence"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

func container(mounts ...v1.VolumeMount) *v1.Container {
	return &v1.Container{Name: "c", VolumeMounts: mounts}
}

func TestBinds(t *testing.T) {
	readOnly := claim("frozen")
	readOnly.PersistentVolumeClaim.ReadOnly = true
	s := newSpec(t, emptyDir("data"), configMap("config"), claim("claim"), readOnly)
	s.ConfigMaps = configMaps("config", nil)
	set := must(Mount(s))(t)
	tests := []struct {
		mount v1.VolumeMount
		want  Bind
	}{
		{v1.VolumeMount{Name: "data", MountPath: "/data"}, Bind{Source: s.Dir + "/data", Destination: "/data", ReadOnly: false, Volume: "data"}},
		{v1.VolumeMount{Name: "data", MountPath: "/data", ReadOnly: true}, Bind{Source: s.Dir + "/data", Destination: "/data", ReadOnly: true, Volume: "data"}},
		{v1.VolumeMount{Name: "data", MountPath: "data/"}, Bind{Source: s.Dir + "/data", Destination: "/data", ReadOnly: false, Volume: "data"}},
		{v1.VolumeMount{Name: "config", MountPath: "/etc/c"}, Bind{Source: s.Dir + "/config", Destination: "/etc/c", ReadOnly: true, Volume: "config"}},
		{v1.VolumeMount{Name: "claim", MountPath: "/c"}, Bind{Source: s.Claims + "/claim/data", Destination: "/c", ReadOnly: false, Volume: "claim"}},
		{v1.VolumeMount{Name: "frozen", MountPath: "/c"}, Bind{Source: s.Claims + "/frozen/data", Destination: "/c", ReadOnly: true, Volume: "frozen"}},
	}
	for _, test := range tests {
		got := must(set.Binds(container(test.mount), "c-0"))(t)
		if want := []Bind{test.want}; !slices.Equal(got, want) {
			t.Errorf("%v: got %v, want %v", test.mount, got, want)
		}
	}
	_, err := set.Binds(container(v1.VolumeMount{Name: "other", MountPath: "/x"}), "c-0")
	checkError(t, err, `mount volume "other": the pod has no such volume: add it to spec.volumes`)
}

// TestSubPath resolves one subPath in a volume that holds: dir/file, links that
// stay inside and links that do not.
func TestSubPath(t *testing.T) {
	tests := []struct {
		name, subPath string
		want          string // the path in the volume
		wantErr       string
	}{
		{"directory", "dir", "dir", ""},
		{"file", "dir/file", "dir/file", ""},
		{"not clean", "./dir//", "dir", ""},
		{"the volume itself", ".", ".", ""},
		{"link beneath", "in/file", "dir/file", ""},
		{"link to a file", "dir/up", "dir/file", ""},
		{"absolute link that ends inside", "absolute/file", "dir/file", ""},
		{"missing", "new/deep", "new/deep", ""},
		{"missing behind a link", "in/new", "dir/new", ""},
		{"absolute", "/dir", "", "must not be an absolute path"},
		{"backsteps", "dir/../dir", "", "must not contain '..'"},
		{"link out", "out", "", "a symbolic link leads out of the volume"},
		{"link out and a missing name", "out/new", "", "a symbolic link leads out of the volume"},
		{"relative link out", "relative/tmp", "", "a symbolic link leads out of the volume"},
		{"link of the kernel", "magic", "", "a symbolic link leads out of the volume"},
		{"dangling link", "dangling", "", "not a directory"}, // mkdir -p through it would be an escape
		{"below a file", "dir/file/x", "", "not a directory"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSpec(t, emptyDir("data"))
			inPod(t, func() {
				set := must(Mount(s))(t)
				root := filepath.Join(s.Dir, "data")
				ok(t, os.Mkdir(root+"/dir", 0o755))
				write(t, root+"/dir/file", "inside")
				for link, target := range map[string]string{
					"in": "dir", "dir/up": "../dir/file", "absolute": root + "/dir", "out": "/etc",
					"relative": "../../../../../..", "magic": "/proc/self/root", "dangling": "absent",
				} {
					ok(t, os.Symlink(target, filepath.Join(root, link)))
				}
				c := container(v1.VolumeMount{Name: "data", MountPath: "/d", SubPath: test.subPath})
				binds, err := set.Binds(c, "c-0")
				checkError(t, err, test.wantErr)
				if test.wantErr != "" {
					checkError(t, err, fmt.Sprintf("mount volume \"data\": prepare subPath %q: ", test.subPath))
					return
				}
				checkSame(t, binds[0].Source, filepath.Join(root, test.want))
				again := must(set.Binds(c, "c-0"))(t)
				if !slices.Equal(again, binds) || len(fence.Mounts(filepath.Dir(s.Dir))) != 1 {
					t.Errorf("again: got %v and mounts %q, want %v and one", again, fence.Mounts(filepath.Dir(s.Dir)), binds)
				}
				ok(t, set.Release("c-0"))
				ok(t, set.Release("c-0"))
				if got := fence.Mounts(filepath.Dir(s.Dir)); len(got) > 0 {
					t.Errorf("after Release: got mounts %q", got)
				}
				if _, err := os.Stat(filepath.Dir(binds[0].Source)); !os.IsNotExist(err) {
					t.Errorf("after Release: %v", err)
				}
			})
		})
	}
}

func checkSame(t *testing.T, got, want string) {
	t.Helper()
	if !os.SameFile(must(os.Stat(got))(t), must(os.Stat(want))(t)) {
		t.Errorf("%s is not %s", got, want)
	}
}

func TestSubPathModeIsThatOfTheVolume(t *testing.T) {
	s := newSpec(t, memory("data"))
	inPod(t, func() {
		set := must(Mount(s))(t)
		binds := must(set.Binds(container(v1.VolumeMount{Name: "data", MountPath: "/d", SubPath: "a/b"}), "c-0"))(t)
		if got, want := modeOf(t, binds[0].Source), os.ModeDir|os.ModeSticky|0o777; got != want {
			t.Errorf("got mode %v, want %v", got, want)
		}
	})
}

func TestSubPathOfConfigMapKeepsItsData(t *testing.T) {
	s := newSpec(t, configMap("config"))
	s.ConfigMaps = configMaps("config", map[string]string{"key": "old"})
	inPod(t, func() {
		set := must(Mount(s))(t)
		c := container(v1.VolumeMount{Name: "config", MountPath: "/k", SubPath: "key"},
			v1.VolumeMount{Name: "config", MountPath: "/none", SubPath: "absent"})
		binds := must(set.Binds(c, "c-0"))(t)
		ok(t, set.Refresh(s.Pod, configMaps("config", map[string]string{"key": "new"}), nil))
		again := must(set.Binds(c, "c-0"))(t) // a new monitor, the container still runs
		next := must(set.Binds(c, "c-1"))(t)  // the container's next attempt
		for _, bind := range []struct{ path, want string }{
			{binds[0].Source, "old"}, {again[0].Source, "old"}, {next[0].Source, "new"},
		} {
			if got := read(t, bind.path); got != bind.want {
				t.Errorf("%s: got %q, want %q", bind.path, got, bind.want)
			}
		}
		if !binds[0].ReadOnly || !binds[1].ReadOnly {
			t.Errorf("got %v, want read-only binds", binds)
		}
		if got := modeOf(t, binds[1].Source); !got.IsDir() {
			t.Errorf("a key that is not there: got mode %v, want an empty directory as under the kubelet", got)
		}
		ok(t, set.Release("c-0"))
		if got := read(t, next[0].Source); got != "new" {
			t.Errorf("after the release of another attempt: got %q", got)
		}
	})
}

func TestBindsLeaveNothingWhenOneFails(t *testing.T) {
	s := newSpec(t, emptyDir("data"))
	inPod(t, func() {
		set := must(Mount(s))(t)
		_, err := set.Binds(container(v1.VolumeMount{Name: "data", MountPath: "/a", SubPath: "a"},
			v1.VolumeMount{Name: "data", MountPath: "/b", SubPath: "../b"}), "c-0")
		checkError(t, err, "must not contain '..'")
		if got := fence.Mounts(filepath.Dir(s.Dir)); len(got) > 0 {
			t.Errorf("got mounts %q", got)
		}
		_, err = set.Binds(container(v1.VolumeMount{Name: "data", MountPath: "/a", SubPath: "a"}), "../c")
		checkError(t, err, `container attempt "../c" cannot be the name`)
	})
}

func TestBindsReplaceAHalfMadeMountPoint(t *testing.T) {
	s := newSpec(t, emptyDir("data"))
	inPod(t, func() {
		set := must(Mount(s))(t)
		ok(t, os.MkdirAll(set.subPaths("c-0"), 0o700))
		write(t, set.subPaths("c-0")+"/0", "") // of another kind than is needed now
		must(set.Binds(container(v1.VolumeMount{Name: "data", MountPath: "/a", SubPath: "a"}), "c-0"))(t)
	})
}

func TestBindsInParallel(t *testing.T) {
	s := newSpec(t, emptyDir("data"))
	set := must(Mount(s))(t)
	c := container(v1.VolumeMount{Name: "data", MountPath: "/a", SubPath: "shared/deep"})
	errs := make(chan error)
	for n := range 8 {
		go func() {
			id := fmt.Sprint("c-", n)
			_, err := set.Binds(c, id)
			errs <- errors.Join(err, set.Release(id))
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// TestSubPathRace binds through a name that somebody exchanges with a link to
// "/" all the time: whatever is bound or made lies in the volume.
func TestSubPathRace(t *testing.T) {
	marker := fmt.Sprintf("podrun-escaped-%d", os.Getpid())
	s := newSpec(t, memory("data")) // a device of its own: everything outside has another
	inPod(t, func() {
		set := must(Mount(s))(t)
		root := filepath.Join(s.Dir, "data")
		ok(t, os.MkdirAll(root+"/swap/etc", 0o755))
		ok(t, os.Symlink("/", root+"/link"))
		volume := must(os.Open(root))(t)
		defer volume.Close()
		stop := exchange(volume, "swap", "link")
		var want unix.Stat_t
		ok(t, unix.Stat(root, &want))
		bound, refused := 0, 0
		for n, end := 0, time.Now().Add(time.Second); time.Now().Before(end); n++ {
			id := fmt.Sprint("c-", n)
			c := container(v1.VolumeMount{Name: "data", MountPath: "/a", SubPath: "swap/etc"},
				v1.VolumeMount{Name: "data", MountPath: "/b", SubPath: fmt.Sprint("swap/", marker, "/", n)})
			binds, err := set.Binds(c, id)
			if err != nil {
				refused++
				continue
			}
			bound++
			for _, bind := range binds {
				var got unix.Stat_t
				ok(t, unix.Stat(bind.Source, &got))
				if got.Dev != want.Dev {
					t.Errorf("%s: got device %d, want the volume's %d", bind.Source, got.Dev, want.Dev)
				}
			}
			ok(t, set.Release(id))
		}
		stop()
		t.Logf("bound %d times, refused %d times", bound, refused)
		if bound == 0 || refused == 0 {
			t.Errorf("got %d bound and %d refused: there was no race", bound, refused)
		}
	})
	if _, err := os.Lstat("/" + marker); !os.IsNotExist(err) {
		t.Errorf("a directory was made outside of the volume: %v", os.RemoveAll("/"+marker))
	}
}

// exchange swaps two names of the directory until stop is called.
func exchange(dir *os.File, a, b string) (stop func()) {
	var wait sync.WaitGroup
	end := make(chan struct{})
	wait.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
				unix.Renameat2(int(dir.Fd()), a, int(dir.Fd()), b, unix.RENAME_EXCHANGE)
			}
		}
	})
	return func() { close(end); wait.Wait() }
}
