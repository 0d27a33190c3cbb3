package volumes

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// nestedMounts are the paths inside the volume on which containers mount
// something else, without those that lie in another of them (kubelet,
// MakeNestedMountpoints).
func nestedMounts(pod *v1.PodSpec, name string) []string {
	var nested []string
	for _, containers := range [][]v1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			mounts := containers[i].VolumeMounts
			for j := range mounts {
				if mounts[j].Name == name && mounts[j].SubPath == "" && mounts[j].SubPathExpr == "" {
					nested = append(nested, below(mounts[j].MountPath, mounts)...)
				}
			}
		}
	}
	return nested
}

// below returns the mounts that lie directly below the path, relative to it.
func below(dir string, mounts []v1.VolumeMount) []string {
	prefix := strings.TrimSuffix(path.Join("/", dir), "/") + "/"
	var inside []string
	for i := range mounts {
		if rest, ok := strings.CutPrefix(path.Join("/", mounts[i].MountPath), prefix); ok && rest != "" {
			inside = append(inside, rest)
		}
	}
	slices.Sort(inside)
	var direct []string
	for _, p := range inside {
		if !slices.ContainsFunc(direct, func(d string) bool { return strings.HasPrefix(p, d+"/") }) {
			direct = append(direct, p)
		}
	}
	return direct
}

// makeNested makes the mount points before the first payload, for the containers
// get the volume read-only. They hide keys of the same name.
func makeNested(dir string, nested []string) error {
	if len(nested) == 0 {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range nested {
		if err := root.MkdirAll(name, 0o755); err != nil {
			return fmt.Errorf("make the mount point %s in the volume: %w", name, err)
		}
	}
	return nil
}
