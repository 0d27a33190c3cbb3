package volumes

import (
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/claims"
	"podrun/fence"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(refreshVariable); dir != "" {
		fmt.Fprintln(os.Stderr, refreshForEver(dir))
		os.Exit(1)
	}
	fence.OwnMounts(m, "volumes")
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
		if mounts := fence.Mounts(root); len(mounts) > 0 {
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

func modeOf(t testing.TB, path string) os.FileMode {
	t.Helper()
	return must(os.Stat(path))(t).Mode()
}

var (
	ok         = fence.NoError
	write      = fence.Write
	read       = fence.Read
	checkError = fence.WantError
)

func must[T any](value T, err error) func(testing.TB) T { return fence.Must(value, err) }
