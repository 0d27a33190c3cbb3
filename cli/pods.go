package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"podrun/monitor"
	"podrun/state"
)

// findPod looks a pod up by the name that a user gave; pod/NAME is as good.
func findPod(s *state.Store, namespace, name string) (*monitor.Found, error) {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "pods/"), "pod/")
	f, err := monitor.FindByName(s, namespace, name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, noPod(namespace, name)
	}
	return f, err
}

func noPod(namespace, name string) error {
	return fmt.Errorf("there is no pod %q in namespace %q; 'podrun ps -A' lists all", name, namespace)
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
