package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"

	"podrun/monitor"
	"podrun/state"
)

// podNamed is the pod that a user means: by its name, or as podrun prints it, with
// pod/ or the namespace before it.
func podNamed(namespace, name string) state.Ref {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "pods/"), "pod/")
	if other, rest, both := strings.Cut(name, "/"); both {
		namespace, name = other, rest
	}
	return state.Ref{Namespace: namespace, Name: name}
}

func podsNamed(namespace string, names []string) []state.Ref {
	var refs []state.Ref
	for _, n := range names {
		refs = append(refs, podNamed(namespace, n))
	}
	return refs
}

// lookUp finds the pods that are there, each once.
func lookUp(s *state.Store, wanted []state.Ref) (found, missing []state.Ref, err error) {
	for _, ref := range wanted {
		uid, err := s.Lookup(ref.Namespace, ref.Name)
		if errors.Is(err, os.ErrNotExist) {
			missing = append(missing, ref)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if ref.UID = uid; !slices.Contains(found, ref) {
			found = append(found, ref)
		}
	}
	return found, missing, nil
}

// findPod looks a pod up by the name that a user gave.
func findPod(s *state.Store, namespace, name string) (*monitor.Found, error) {
	ref := podNamed(namespace, name)
	f, err := monitor.FindByName(s, ref.Namespace, ref.Name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, noPods([]state.Ref{ref})
	}
	return f, err
}

// pod is findPod for a command about one.
func (a *app) pod(namespace, name string) (*state.Store, *monitor.Found, error) {
	s, err := a.store()
	if err != nil {
		return nil, nil, err
	}
	f, err := findPod(s, namespace, name)
	return s, f, err
}

// unlimited is the limit of eachPod for what is mostly waiting.
const unlimited = -1

// eachPod does something with all pods at once, or so many at a time.
func eachPod(refs []state.Ref, limit int, do func(state.Ref) error) error {
	errs := make([]error, len(refs))
	var all errgroup.Group
	all.SetLimit(limit)
	for i, ref := range refs {
		all.Go(func() error {
			errs[i] = do(ref)
			return nil
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// noPods complains of pods that are not there; nil where none is missing.
func noPods(missing []state.Ref) error {
	var errs []error
	for _, ref := range missing {
		errs = append(errs, fmt.Errorf("there is no pod %q in namespace %q; 'podrun ps -A' lists all", ref.Name, ref.Namespace))
	}
	return errors.Join(errs...)
}

// hasEnded: no container of the pod will run again, though its monitor may be at work still.
func hasEnded(p *v1.Pod) bool {
	return p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed
}

// notRunning is the complaint of what needs a pod that runs.
func notRunning(p *v1.Pod) error {
	if hasEnded(p) {
		return fmt.Errorf("pod %s has ended (%s): 'podrun up --replace' runs it again", displayName(p), p.Status.Phase)
	}
	return fmt.Errorf("pod %s does not run: 'podrun resume' starts it again", displayName(p))
}

// defaultContainerAnnotation names the container that a command means when none is named.
const defaultContainerAnnotation = "kubectl.kubernetes.io/default-container"

// pickContainer is the container that the user named, or the pod's default as
// kubectl chooses it, with kubectl's notice.
func (a *app) pickContainer(p *v1.Pod, name string) (string, error) {
	var all []string
	for _, c := range p.Spec.Containers {
		all = append(all, c.Name)
	}
	if name == "" {
		if name = p.Annotations[defaultContainerAnnotation]; name == "" && len(all) > 0 {
			name = all[0]
			if len(all) > 1 {
				a.notef("Defaulted container %q out of: %s\n", name, strings.Join(all, ", "))
			}
		}
	}
	all = containerNames(p)
	if slices.Contains(all, name) {
		return name, nil
	}
	return "", fmt.Errorf("pod %s/%s has no container %q; it has: %s", p.Namespace, p.Name, name, strings.Join(all, ", "))
}

// containerNames are the names of all containers, in kubectl's order.
func containerNames(p *v1.Pod) []string {
	var all []string
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		all = append(all, c.Name)
	}
	for _, c := range p.Spec.EphemeralContainers {
		all = append(all, c.Name)
	}
	return all
}

// containerStatus finds the status of a container, init containers included.
func containerStatus(s *v1.PodStatus, name string) *v1.ContainerStatus {
	for _, list := range [][]v1.ContainerStatus{s.ContainerStatuses, s.InitContainerStatuses, s.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}
