package volumes

import (
	"os"
	"path/filepath"
	"testing"
)

// newTree returns the directory of a volume and its Spec.Dir.
func newTree(t *testing.T) (volume, dir string) {
	t.Helper()
	s := newSpec(t, emptyDir("data"))
	must(Mount(s))(t)
	return filepath.Join(s.Dir, "data"), s.Dir
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
