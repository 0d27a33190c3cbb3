package runtime

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// Image is the part of an image's config that takes part in running it.
type Image struct {
	Entrypoint, Cmd []string
	Env             []string // only KEY=VALUE entries count
	WorkingDir      string
	User            string
}

// Bind is one file or directory of the monitor's mount namespace that shows up
// in the container.
type Bind struct {
	Source, Destination string
	Unmapped            bool // its ids are the machine's also for a user namespace of the pod's own
	ReadOnly            bool
	Recursive           bool // ReadOnly holds for the mounts below as well
	NoExec              bool
	// Propagation is HostToContainer, Bidirectional, or empty for None.
	Propagation v1.MountPropagationMode
}

// Spec is one attempt of one container. Pod and Container are read only.
type Spec struct {
	ID        string // unique in the state directory
	Pod       *v1.Pod
	Container *v1.Container
	Image     Image
	Rootfs    string      // mounted in this mount namespace
	Hostname  string      // of the pod: HOSTNAME in the environment
	Env       []v1.EnvVar // the manifest's part, resolved
	Command   []string    // the manifest's, expanded; nil for the image's
	Args      []string
	Binds     []Bind
	Shm       string // the pod's /dev/shm, mounted in this mount namespace
	PausePID  int    // holds the namespaces to join
	PIDs      string // the PID namespace to join; empty for its own, or the machine's
	Users     *Users // the user namespace to join; nil for the machine's
	Cgroup    string // absolute
	OOMScore  int
	// SeccompDirs hold the seccomp profiles of the machine; the first that has one counts.
	SeccompDirs []string
}

// ConfigError is a container that cannot be configured from its spec and its
// image: CreateContainerConfigError in the words of the API.
type ConfigError struct{ Text string }

func (e *ConfigError) Error() string { return e.Text }

// command is what runs: command replaces the image's entrypoint and its
// arguments, args alone only the arguments (the API's rule).
func (s *Spec) command() ([]string, error) {
	var words []string
	switch {
	case len(s.Command) > 0:
		words = append(append(words, s.Command...), s.Args...)
	case len(s.Args) > 0:
		words = append(append(words, s.Image.Entrypoint...), s.Args...)
	default:
		words = append(append(words, s.Image.Entrypoint...), s.Image.Cmd...)
	}
	if len(words) == 0 {
		return nil, &ConfigError{"no command specified: neither the manifest nor the image has one"}
	}
	return words, nil
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment puts the manifest's variables over the image's, as containerd does.
func (s *Spec) environment() []string {
	env := newEnvironment()
	env.set("PATH", defaultPath)
	env.set("HOSTNAME", s.Hostname)
	if s.Container.TTY {
		env.set("TERM", "xterm")
	}
	for _, entry := range s.Image.Env {
		// An entry without a value must not become the monitor's own variable of that name.
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			env.set(name, value)
		}
	}
	for _, v := range s.Env {
		env.set(v.Name, v.Value)
	}
	return env.list
}

// environment keeps the order in which names first came.
type environment struct {
	list  []string
	index map[string]int
}

func newEnvironment() *environment { return &environment{index: map[string]int{}} }

func (e *environment) set(name, value string) {
	entry := name + "=" + value
	if i, ok := e.index[name]; ok {
		e.list[i] = entry
		return
	}
	e.index[name] = len(e.list)
	e.list = append(e.list, entry)
}

func (s *Spec) workingDir() string {
	switch {
	case s.Container.WorkingDir != "":
		return s.Container.WorkingDir
	case s.Image.WorkingDir != "":
		return s.Image.WorkingDir
	}
	return "/"
}

// security is the container's security context with the pod's where it says nothing.
func (s *Spec) security() v1.SecurityContext {
	var merged v1.SecurityContext
	if c := s.Container.SecurityContext; c != nil {
		merged = *c
	}
	pod := s.Pod.Spec.SecurityContext
	if pod == nil {
		return merged
	}
	if merged.RunAsUser == nil {
		merged.RunAsUser = pod.RunAsUser
	}
	if merged.RunAsGroup == nil {
		merged.RunAsGroup = pod.RunAsGroup
	}
	if merged.RunAsNonRoot == nil {
		merged.RunAsNonRoot = pod.RunAsNonRoot
	}
	if merged.SeccompProfile == nil {
		merged.SeccompProfile = pod.SeccompProfile
	}
	return merged
}

func isTrue(b *bool) bool { return b != nil && *b }

// podRef is how the kubelet names a pod in its errors.
func (s *Spec) podRef() string {
	return fmt.Sprintf("%q, container: %s", fmt.Sprintf("%s_%s(%s)", s.Pod.Name, s.Pod.Namespace, s.Pod.UID), s.Container.Name)
}
