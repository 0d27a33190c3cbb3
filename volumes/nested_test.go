package volumes

import (
	"path/filepath"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestNestedMounts finds a mount point for what a container mounts inside a read-only volume.
func TestNestedMounts(t *testing.T) {
	s := newSpec(t, configMap("config"), emptyDir("data"))
	s.ConfigMaps = configMaps("config", map[string]string{"key": "text", "sub": "hidden"})
	s.Pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{
		{Name: "config", MountPath: "/etc/config/"},
		{Name: "data", MountPath: "/etc/config/sub"},
		{Name: "data", MountPath: "/etc/config/sub/deeper"}, // in the other volume
		{Name: "data", MountPath: "/etc/config/sub-2/x"},
		{Name: "data", MountPath: "/etc/config-2"},
	}
	for range 2 {
		must(Mount(s))(t)
	}
	if got, want := names(t, s.Dir+"/config")[1:], []string{dataLink, "key", "sub", "sub-2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for dir, want := range map[string]int{"sub": 0, "sub-2": 1, "sub-2/x": 0} {
		if got := names(t, filepath.Join(s.Dir, "config", dir)); len(got) != want {
			t.Errorf("%s: got %q, want %d entries", dir, got, want)
		}
	}
}
