package volumes

import (
	"os"
	"path/filepath"
	goruntime "runtime"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

func propagating(name string, mode v1.MountPropagationMode) v1.VolumeMount {
	return v1.VolumeMount{Name: name, MountPath: "/" + name, MountPropagation: &mode}
}

// machine mounts a tmpfs at the path in the namespace of the test, which stands
// for the machine's, and returns what brings a function back there.
func machine(t *testing.T, path string, flags uintptr) func(func() error) error {
	t.Helper()
	ok(t, unix.Mount("tmpfs", path, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
	ok(t, unix.Mount("", path, "", flags, ""))
	namespace := must(os.Open("/proc/thread-self/ns/mnt"))(t)
	t.Cleanup(func() { namespace.Close() })
	return func(f func() error) error {
		done := make(chan error, 1)
		go func() {
			goruntime.LockOSThread()
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				done <- err
			} else if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNS); err != nil {
				done <- err
			} else {
				done <- f()
			}
		}()
		return <-done
	}
}

func onMachine(t *testing.T, s Spec, f func() error) {
	t.Helper()
	if err := s.OnMachine(f); err != nil {
		t.Error(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// mountFile mounts a tmpfs with a file in it on a new directory.
func mountFile(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		return err
	}
	return os.WriteFile(dir+"/file", nil, 0o600)
}

func hostVolume(path string) v1.Volume {
	return source(v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: path}}, "host")
}

func TestBidirectional(t *testing.T) {
	path := t.TempDir()
	s := newSpec(t, hostVolume(path))
	s.OnMachine = machine(t, path, unix.MS_SHARED)
	inPod(t, func() {
		set, err := Mount(s)
		if err != nil {
			t.Error(err)
			return
		}
		for range 2 { // the same source for every container, and for a later monitor
			binds, err := set.Binds(container(propagating("host", v1.MountPropagationBidirectional)), "c-0")
			if err != nil {
				t.Error(err)
				return
			}
			if got, want := binds[0].Source, filepath.Join(set.podDir(), "peers/host"); got != want {
				t.Errorf("got source %s, want %s", got, want)
			}
		}
		peer := filepath.Join(set.podDir(), "peers/host")
		if err := mountFile(peer + "/pod"); err != nil {
			t.Error(err)
		}
		onMachine(t, s, func() error {
			if !exists(path + "/pod/file") {
				t.Error("the machine does not see the container's mount")
			}
			return mountFile(path + "/machine")
		})
		if !exists(peer + "/machine/file") {
			t.Error("the container does not see the machine's mount")
		}
		if !exists(path + "/machine/file") {
			t.Error("a mount of the machine does not reach the pod, a slave")
		}
		// A subPath takes part as well.
		m := propagating("host", v1.MountPropagationBidirectional)
		m.SubPath = "sub"
		binds, err := set.Binds(container(m), "c-1")
		if err != nil {
			t.Error(err)
			return
		}
		if err := mountFile(binds[0].Source + "/deep"); err != nil {
			t.Error(err)
		}
		if err := set.Release("c-1"); err != nil {
			t.Error(err)
		}
		onMachine(t, s, func() error {
			if !exists(path + "/sub/deep/file") {
				t.Error("the machine does not see what was mounted in a subPath, or loses it with the container")
			}
			return nil
		})
		if len(set.Unheard()) > 0 {
			t.Errorf("got %q of a shared mount", set.Unheard())
		}
	})
}

func TestPropagationOfPrivateMounts(t *testing.T) {
	path := t.TempDir()
	s := newSpec(t, hostVolume(path))
	s.OnMachine = machine(t, path, unix.MS_PRIVATE)
	inPod(t, func() {
		s.Pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{propagating("host", v1.MountPropagationHostToContainer)}
		set, err := Mount(s)
		if err != nil {
			t.Error(err)
			return
		}
		if got := set.Unheard(); len(got) != 1 {
			t.Errorf("got %q, want one mount that hears of nothing", got)
		}
		_, err = set.Binds(container(propagating("host", v1.MountPropagationBidirectional)), "c-0")
		checkError(t, err, `mount volume "host": path "`+path+`" is mounted on "`+path+`" but it is not a shared mount: 'mount --make-shared `+path+`' makes it one`)
	})
}

// The pod's own volume shares mounts with its containers, never with the machine.
func TestPropagationInThePod(t *testing.T) {
	for _, kind := range []v1.Volume{emptyDir("data"), memory("data")} {
		s := newSpec(t, kind)
		top := filepath.Dir(filepath.Dir(s.Dir))
		s.OnMachine = machine(t, top, unix.MS_SHARED)
		inPod(t, func() {
			for range 2 {
				set, err := Mount(s)
				if err != nil {
					t.Error(err)
					return
				}
				binds, err := set.Binds(container(propagating("data", v1.MountPropagationBidirectional)), "c-0")
				if err != nil {
					t.Error(err)
					return
				}
				fd := must(unix.Open(binds[0].Source, unix.O_PATH, 0))(t)
				mount, err := mountOf(fd)
				unix.Close(fd)
				if err != nil || !shared(mount) || slave(mount) {
					t.Errorf("got %+v, %v, want a mount that is shared and no slave", mount, err)
				}
			}
			if err := mountFile(s.Dir + "/data/sub"); err != nil {
				t.Error(err)
			}
			onMachine(t, s, func() error {
				if exists(s.Dir + "/data/sub/file") {
					t.Error("the machine sees a mount in the pod's own volume")
				}
				return nil
			})
		})
	}
}
