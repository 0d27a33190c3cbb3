package monitor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	v1 "k8s.io/api/core/v1"

	"podrun/image"
	"podrun/pod"
	"podrun/state"
	"podrun/step"
)

// imageVolumesOf are the image volumes that the container mounts. As under the
// kubelet the others are not pulled.
func imageVolumesOf(p *v1.Pod, c *v1.Container) []*v1.Volume {
	var list []*v1.Volume
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		for _, m := range c.VolumeMounts {
			if v.Image != nil && m.Name == v.Name {
				list = append(list, v)
				break
			}
		}
	}
	return list
}

// volumeImages applies the pull policies of the image volumes that the container mounts.
func (m containers) volumeImages(ctx context.Context, c *v1.Container) error {
	for _, v := range imageVolumesOf(m.pod, c) {
		_, err := m.present(ctx, wantedImage{v.Image.Reference, v.Image.PullPolicy, c.Name + "/" + v.Name}, func() {})
		var failure *pod.Failure
		if errors.As(err, &failure) {
			failure.Image = v.Image.Reference
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// imageVolumeDir holds the mount points of the pod's image volumes, named by the
// volume and the image's ID: an attempt may find another image under the
// reference than the one before, which still runs with its own.
func imageVolumeDir(s *state.Store, uid string) string {
	return filepath.Join(s.PodDir(uid), "images")
}

func mountName(volume, id string) string { return volume + "-" + strings.TrimPrefix(id, "sha256:") }

func (m *monitor) mountImageVolume(reference, volume string) (string, error) {
	img, err := m.images.Get(reference)
	if err != nil {
		return "", err
	}
	dir := imageVolumeDir(m.store, m.uid())
	target := filepath.Join(dir, mountName(volume, img.ID))
	defer step.Change("mount image volume")()
	if err := os.MkdirAll(target, 0o700); err != nil {
		return "", err
	}
	if m.users == nil {
		return target, image.MountReadOnly(img, target, filepath.Join(dir, ".parts"))
	}
	owner := image.Owner{Namespace: m.users.namespace, Root: m.users.first}
	return target, image.MountReadOnlyFor(owner, img, target, filepath.Join(dir, ".parts-"+volume))
}

// ShownImages are the IDs of the images that volumes of the pod of uid have shown:
// they may be mounted in a container.
func ShownImages(s *state.Store, uid string) []string {
	points, err := os.ReadDir(imageVolumeDir(s, uid))
	if err != nil {
		return nil
	}
	var ids []string
	for _, p := range points {
		const digits = 64
		if name := p.Name(); len(name) > digits && name[len(name)-digits-1:] == mountName("", name[len(name)-digits:]) {
			ids = append(ids, "sha256:"+name[len(name)-digits:])
		}
	}
	return ids
}
