package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"

	"podrun/image"
	"podrun/state"
)

// wantedImage is an image that a container needs.
type wantedImage struct {
	reference string
	policy    v1.PullPolicy
	// credentials are the pod's.
	credentials []image.Credential
}

// parallelPulls bounds the images pulled at once; each has connections for
// several layers.
const parallelPulls = 3

// ensureImages applies the pull policies of containers: what is missing, or is
// to be looked for always, is pulled, with progress on standard error. All
// images that cannot be had are complained of at once.
func (a *app) ensureImages(ctx context.Context, store *state.Store, wanted []wantedImage, insecure []string) (map[string]state.Pull, error) {
	images, err := image.Open(store.ImageDir())
	if err != nil {
		return nil, err
	}
	missing, err := toPull(images, wanted)
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	options := func(reference string) image.PullOptions {
		return image.PullOptions{Insecure: insecure, Credentials: credentialsFor(wanted, reference)}
	}
	pulled, err := pullAll(ctx, images, missing, options, a.newProgress())
	if err != nil {
		return nil, err
	}
	pulls := map[string]state.Pull{}
	for i, p := range pulled {
		pulls[missing[i]] = p.Pull
	}
	return pulls, nil
}

// credentialsFor are those of the pods that need the image: what one pod may have
// another may not.
func credentialsFor(wanted []wantedImage, reference string) []image.Credential {
	var list []image.Credential
	for _, w := range wanted {
		if w.reference == reference {
			list = append(list, w.credentials...)
		}
	}
	return list
}

// pulledImage is an image and how its pull went.
type pulledImage struct {
	*image.Image
	state.Pull
}

// toPull chooses the images to pull, each once. An image that one container
// says is never to be pulled may be pulled for another one.
func toPull(images *image.Store, wanted []wantedImage) ([]string, error) {
	var pull []string
	var problems []error
	for _, w := range wanted {
		if slices.Contains(pull, w.reference) {
			continue
		}
		_, err := images.Get(w.reference)
		switch {
		case err != nil && !errors.Is(err, image.ErrNotFound):
			problems = append(problems, err)
		case err == nil && w.policy != v1.PullAlways:
		case w.policy != v1.PullNever:
			pull = append(pull, w.reference)
		case !pulledForAnother(wanted, w.reference):
			problems = append(problems, fmt.Errorf("image %q is not on this machine, and its pull policy is Never; 'podrun image pull %s' brings it", w.reference, w.reference))
		}
	}
	return pull, errors.Join(problems...)
}

func pulledForAnother(wanted []wantedImage, reference string) bool {
	return slices.ContainsFunc(wanted, func(w wantedImage) bool {
		return w.reference == reference && w.policy != v1.PullNever
	})
}

// pullAll pulls images, some at a time, and goes on with the others where one
// does not work.
func pullAll(ctx context.Context, images *image.Store, references []string, options func(reference string) image.PullOptions, report progress) ([]pulledImage, error) {
	defer report.finish()
	pulled := make([]pulledImage, len(references))
	failures := make([]error, len(references))
	var g errgroup.Group
	g.SetLimit(parallelPulls)
	for i, ref := range references {
		g.Go(func() error {
			o := options(ref)
			o.Progress = report.of(ref)
			began := time.Now()
			img, err := images.Pull(ctx, ref, o)
			pulled[i], failures[i] = pulledImage{img, state.Pull{Began: began, Took: time.Since(began)}}, err
			return nil
		})
	}
	_ = g.Wait() // failures has them
	return slices.DeleteFunc(pulled, func(p pulledImage) bool { return p.Image == nil }), errors.Join(failures...)
}

// mountedImages are the image volumes that one of the containers mounts.
func mountedImages(spec *v1.PodSpec, containers []v1.Container) []*v1.ImageVolumeSource {
	var list []*v1.ImageVolumeSource
	for _, v := range spec.Volumes {
		mounts := func(m v1.VolumeMount) bool { return m.Name == v.Name }
		if v.Image != nil && slices.ContainsFunc(containers, func(c v1.Container) bool { return slices.ContainsFunc(c.VolumeMounts, mounts) }) {
			list = append(list, v.Image)
		}
	}
	return list
}
