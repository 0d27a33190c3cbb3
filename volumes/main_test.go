package volumes

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/claims"
	"podrun/tree"
)

// testRoot names the directory that holds everything the tests make.
const testRoot = "PODRUN_VOLUMES_TEST_ROOT"

// TestMain runs the tests in a mount namespace of their own, and checks from
// the outside that no file and no mount is left.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the tests of volumes mount file systems: run them as root")
		os.Exit(1)
	}
	if dir := os.Getenv(refreshVariable); dir != "" {
		fmt.Fprintln(os.Stderr, refreshForEver(dir))
		os.Exit(1)
	}
	if os.Getenv(testRoot) != "" {
		os.Exit(m.Run())
	}
	if err := inOwnNamespace(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func inOwnNamespace() error {
	root, err := os.MkdirTemp("", "podrun-volumes-")
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), testRoot+"="+root, "TMPDIR="+root)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if err := cmd.Run(); err != nil {
		return errors.Join(err, tree.Remove(root))
	}
	if mounts := mountsBelow(root); len(mounts) > 0 {
		return fmt.Errorf("left in the host's mount table: %q", mounts)
	}
	if err := os.Remove(root); err != nil {
		return fmt.Errorf("the tests left files: %w", err)
	}
	return nil
}

// mountsBelow returns the mount points of this thread's namespace below a path.
func mountsBelow(path string) []string {
	table, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for line := range strings.Lines(string(table)) {
		if point := strings.Fields(line)[4]; strings.HasPrefix(point, path) {
			found = append(found, point)
		}
	}
	return found
}

// inPod runs f in a mount namespace like a pod's, a slave of the tests' own,
// that dies with its thread.
func inPod(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		defer close(done)
		goruntime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			done <- os.NewSyscallError("unshare", err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
			done <- os.NewSyscallError("mount", err)
			return
		}
		f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if t.Failed() {
		t.FailNow()
	}
}

// newSpec returns the spec of a pod whose container "c" mounts every volume, and
// checks at the end that Remove and claims.Remove leave nothing of it.
func newSpec(t testing.TB, volumes ...v1.Volume) Spec {
	t.Helper()
	root := t.TempDir()
	pod := &v1.Pod{Spec: v1.PodSpec{Volumes: volumes, Containers: []v1.Container{{Name: "c"}}}}
	for _, v := range volumes {
		mount := v1.VolumeMount{Name: v.Name, MountPath: "/" + v.Name}
		pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts, mount)
	}
	s := Spec{
		Pod:    pod,
		Dir:    filepath.Join(root, "pod/volumes"),
		Claims: filepath.Join(root, "claims/default"),
	}
	t.Cleanup(func() {
		for range 2 { // removal is idempotent
			if err := Remove(s.Dir); err != nil {
				t.Error(err)
			}
			made, _ := os.ReadDir(s.Claims)
			for _, claim := range made {
				if err := claims.Remove(filepath.Join(s.Claims, claim.Name())); err != nil {
					t.Error(err)
				}
			}
		}
		for _, dir := range []string{filepath.Dir(s.Dir), s.Claims} {
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left in %s: %v", dir, left)
			}
		}
		if mounts := mountsBelow(root); len(mounts) > 0 {
			t.Errorf("left mounted: %q", mounts)
		}
	})
	return s
}

func source(v v1.VolumeSource, name string) v1.Volume { return v1.Volume{Name: name, VolumeSource: v} }

func emptyDir(name string) v1.Volume {
	return source(v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}, name)
}

func memory(name string) v1.Volume {
	return source(v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}}, name)
}

func configMap(name string, items ...v1.KeyToPath) v1.Volume {
	from := &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: name}, Items: items}
	return source(v1.VolumeSource{ConfigMap: from}, name)
}

func secret(name string, items ...v1.KeyToPath) v1.Volume {
	return source(v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: name, Items: items}}, name)
}

func onHost(path string, kind v1.HostPathType) v1.Volume {
	return source(v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: path, Type: &kind}}, "host")
}

func claim(name string) v1.Volume {
	from := &v1.PersistentVolumeClaimVolumeSource{ClaimName: name}
	return source(v1.VolumeSource{PersistentVolumeClaim: from}, name)
}

func configMaps(name string, data map[string]string) map[string]*v1.ConfigMap {
	return map[string]*v1.ConfigMap{name: {Data: data}}
}

func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	ok(t, os.WriteFile(path, []byte(text), 0o644))
}

func read(t testing.TB, path string) string {
	t.Helper()
	return string(must(os.ReadFile(path))(t))
}

func modeOf(t testing.TB, path string) os.FileMode {
	t.Helper()
	return must(os.Stat(path))(t).Mode()
}
