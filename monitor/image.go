package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/image"
	"podrun/pod"
	"podrun/state"
)

// Image applies the pull policy; see [pod.Runtime]. A pull runs in a child
// process, so that no registry client stays in the monitor's memory.
func (m containers) Image(ctx context.Context, c *v1.Container, pulling func()) (pod.ImageStatus, error) {
	if err := m.volumeImages(ctx, c); err != nil {
		return pod.ImageStatus{}, err
	}
	return m.present(ctx, wantedImage{c.Image, c.ImagePullPolicy, c.Name}, pulling)
}

// wantedImage is an image to be made present. key tells whether up has just pulled it.
type wantedImage struct {
	reference string
	policy    v1.PullPolicy
	key       string
}

func (m containers) present(ctx context.Context, w wantedImage, pulling func()) (pod.ImageStatus, error) {
	policy := w.policy
	if m.record.PullPolicy != "" {
		policy = m.record.PullPolicy
	}
	img, err := m.images.Get(w.reference)
	if err != nil && !errors.Is(err, image.ErrNotFound) {
		return pod.ImageStatus{}, imageFailure(err)
	}
	missing := err != nil
	if missing && policy == v1.PullNever {
		return pod.ImageStatus{}, &pod.Failure{
			Reason:  "ErrImageNeverPull",
			Message: fmt.Sprintf("Container image %q is not present with pull policy of Never", w.reference),
		}
	}
	if !missing && (policy != v1.PullAlways || m.takePulled(w.key)) {
		return m.withPull(imageStatus(img), w.reference, policy), nil
	}
	pulling()
	began := time.Now()
	if err := m.pull(ctx, w.reference); err != nil {
		return pod.ImageStatus{}, err
	}
	if img, err = m.images.Get(w.reference); err != nil {
		return pod.ImageStatus{}, imageFailure(err)
	}
	s := imageStatus(img)
	s.Pulled, s.Began, s.Took = true, began, time.Since(began)
	return s, nil
}

// markPulled: up has just applied the pull policy to every image.
func (m *monitor) markPulled() {
	m.pulls = map[string]*knownPull{}
	for reference, p := range m.record.Pulls {
		m.pulls[reference] = &knownPull{Pull: p}
	}
	for _, list := range [][]v1.Container{m.pod.Spec.InitContainers, m.pod.Spec.Containers} {
		for i := range list {
			m.pulled[list[i].Name] = true
			for _, v := range imageVolumesOf(m.pod, &list[i]) {
				m.pulled[list[i].Name+"/"+v.Name] = true
			}
		}
	}
}

// knownPull is one that up has made.
type knownPull struct {
	state.Pull
	told bool // of some container
}

// withPull tells of the pull that up has made for the pod: of the one container
// that it was for, or of each whose policy asks for one of its own.
func (m containers) withPull(s pod.ImageStatus, reference string, policy v1.PullPolicy) pod.ImageStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	pull, found := m.pulls[reference]
	if found && (policy == v1.PullAlways || !pull.told) {
		s.Pulled, s.Began, s.Took = true, pull.Began, pull.Took
		pull.told = true
	}
	return s
}

// takePulled tells, once, that up has pulled the image a moment ago.
func (m containers) takePulled(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.pulled[key]
	delete(m.pulled, key)
	return was
}

// imageStatus tells of the image as containerd does: its ID is the name with the
// digest that a registry has under it, or the config's of an image without a name.
func imageStatus(img *image.Image) pod.ImageStatus {
	s := pod.ImageStatus{ID: img.ID, Ref: img.Reference, Config: img.ID, Size: img.Size}
	if img.Reference != "" && img.Digest != "" {
		s.ID = image.Repository(img.Reference) + "@" + img.Digest
	}
	return s
}

func imageFailure(err error) error {
	var pull *image.PullError
	if errors.As(err, &pull) {
		return &pod.Failure{Reason: pull.Reason, Err: err}
	}
	return &pod.Failure{Reason: image.ReasonErrImagePull, Err: err}
}

func (m containers) pull(ctx context.Context, reference string) error {
	args := []string{"--root", m.store.Root, "--run-root", m.store.RunRoot, "image", "pull", "--quiet"}
	for _, host := range m.record.Insecure {
		args = append(args, "--insecure", host)
	}
	credentials, unread := Credentials(m.store, m.pod, nil)
	if len(unread) > 0 {
		m.event(pod.Event{
			Time: time.Now(), Type: v1.EventTypeWarning, Reason: "FailedToRetrieveImagePullSecret",
			Message: fmt.Sprintf("Unable to retrieve some image pull secrets; attempting to pull the image may not succeed: %v", errors.Join(unread...)),
		})
	}
	if len(credentials) > 0 {
		args = append(args, "--credentials-from-stdin")
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append(args, reference)...)
	if len(credentials) > 0 {
		secrets, err := json.Marshal(credentials)
		if err != nil {
			return err
		}
		cmd.Stdin = bytes.NewReader(secrets)
	}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Run(); err != nil {
		text := strings.TrimPrefix(strings.TrimSpace(complaint.String()), "podrun: ")
		if text == "" {
			text = err.Error()
		}
		return &pod.Failure{Reason: image.ReasonErrImagePull, Message: text, Err: err}
	}
	return nil
}
