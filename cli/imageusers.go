package cli

import (
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"

	"podrun/image"
	"podrun/monitor"
	"podrun/state"
)

// usedImages opens the images, beside those who use them.
func (a *app) usedImages() (*image.Store, image.Users, error) {
	store, err := a.store()
	if err != nil {
		return nil, nil, err
	}
	images, err := image.Open(store.ImageDir())
	return images, imageUsers(store, images), err
}

// imageUsers finds the images that pods use: those of their containers, running or
// to be started again, and of their volumes.
func imageUsers(store *state.Store, images *image.Store) image.Users {
	return func() (map[string]string, error) {
		refs, err := store.Names("")
		if err != nil {
			return nil, err
		}
		pods := map[string]string{}
		for _, ref := range refs {
			f, err := monitor.Find(store, ref)
			if err != nil {
				return nil, fmt.Errorf("look at pod %s/%s: %w", ref.Namespace, ref.Name, err)
			}
			for _, id := range slices.Concat(imagesOf(f, images), monitor.ShownImages(store, ref.UID)) {
				pods[id] = ref.Namespace + "/" + ref.Name
			}
		}
		return pods, nil
	}
}

// imagesOf are the IDs of what the pod's containers were made of, and would be now.
func imagesOf(f *monitor.Found, images *image.Store) []string {
	var ids []string
	for _, c := range f.Status.Containers {
		if c.ImageConfig != "" {
			ids = append(ids, c.ImageConfig)
		}
	}
	p := f.Pod()
	for _, reference := range referencesOf(&p.Spec) {
		if img, err := images.Get(reference); err == nil {
			ids = append(ids, img.ID)
		}
	}
	return ids
}

// referencesOf are the images of the pod's containers and of its volumes.
func referencesOf(spec *v1.PodSpec) []string {
	var list []string
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		list = append(list, c.Image)
	}
	for _, v := range spec.Volumes {
		if v.Image != nil {
			list = append(list, v.Image.Reference)
		}
	}
	return list
}
