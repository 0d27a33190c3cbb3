package volumes

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// Guard keeps hostPath volumes away from what podrun itself relies on. What a path
// leads to counts, not its name: links, /proc/PID/root and bind mounts lead there too.
type Guard struct {
	// State are the directories of records, secrets, images, locks and sockets. No
	// container gets to see them.
	State []string
	// Logs may be read: collectors of logs do. Who could write there could have podrun
	// read and write files of the machine through links.
	Logs string
}

// check refuses a path of podrun's own.
func (g *Guard) check(path string, writable bool) error {
	at, err := spotOf(path)
	if err != nil {
		return err
	}
	return g.refuse(path, at, writable)
}

func (g *Guard) refuse(path string, at spot, writable bool) error {
	for _, dir := range g.State {
		if own, err := spotOf(dir); err == nil && at.within(own) {
			return fmt.Errorf("hostPath %s is podrun's own state (%s), which is not for containers: use a path outside of it, or a persistentVolumeClaim", path, dir)
		}
	}
	if g.Logs == "" || !writable {
		return nil
	}
	own, err := spotOf(g.Logs)
	if err != nil {
		return err
	}
	if isBelow(filepath.Clean(path), g.Logs) || !own.missing && at.within(own) {
		return fmt.Errorf("hostPath %s is podrun's directory of logs (%s), which containers may read only: say readOnly: true in the volumeMount", path, g.Logs)
	}
	return nil
}

// Review refuses the pod's hostPath volumes that are podrun's own state, and warns of
// those that hand over the machine: its root, the socket of a container runtime, what
// holds podrun's state. It changes nothing.
func (g *Guard) Review(p *v1.Pod) (warnings []string, err error) {
	var errs []error
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if v.HostPath == nil {
			continue
		}
		reached, writable := hostPathsOf(&p.Spec, v)
		for _, path := range reached {
			if err := g.check(path, writable); err != nil {
				errs = append(errs, fmt.Errorf("volume %q: %w", v.Name, err))
				break
			}
			if text := g.warning(path, writable); text != "" {
				warnings = append(warnings, fmt.Sprintf("volume %q is %s", v.Name, text))
				break
			}
		}
	}
	return warnings, errors.Join(errs...)
}

// hostPathsOf are the paths of the machine that containers mount of the volume, and
// whether one of them may write there.
func hostPathsOf(spec *v1.PodSpec, v *v1.Volume) (paths []string, writable bool) {
	for _, containers := range [][]v1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			for _, m := range containers[i].VolumeMounts {
				if m.Name == v.Name {
					paths = append(paths, filepath.Join(v.HostPath.Path, m.SubPath))
					writable = writable || !m.ReadOnly
				}
			}
		}
	}
	return paths, writable
}

// sockets of container runtimes: whoever may talk to one is root of the machine.
var sockets = []string{
	"/run/docker.sock", "/run/user/*/docker.sock", "/run/cri-dockerd.sock",
	"/run/containerd/containerd.sock", "/run/docker/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock",
	"/run/crio/crio.sock", "/run/podman/podman.sock", "/run/user/*/podman/podman.sock", "/run/buildkit/buildkitd.sock",
}

// warning says what the path hands over, and to whom; empty for nothing special.
func (g *Guard) warning(path string, writable bool) string {
	at, err := spotOf(path)
	if err != nil {
		return ""
	}
	taken := "who controls the container controls the machine"
	if !writable {
		taken = "the container can read what is secret on the machine"
	}
	if at.path == "/" && !at.missing {
		return "the root of the machine's file system: " + taken
	}
	if text := socketWarning(path, at); text != "" || at.missing {
		return text
	}
	dirs := slices.Clone(g.State)
	if writable && g.Logs != "" {
		dirs = append(dirs, g.Logs)
	}
	for _, dir := range dirs {
		if own, err := spotOf(dir); err == nil && !own.missing && own.within(at) {
			return fmt.Sprintf("%s, which holds podrun's own state (%s): %s", at.path, dir, taken)
		}
	}
	return ""
}

// socketWarning is for the socket of a runtime and for what holds one, also where that
// is mounted for reading only: it can be talked to all the same.
func socketWarning(path string, at spot) string {
	const taken = "who controls the container controls the machine"
	name := filepath.Clean(path)
	if strings.HasPrefix(name, "/var/run/") {
		name = strings.TrimPrefix(name, "/var")
	}
	for _, pattern := range sockets {
		if match, _ := filepath.Match(pattern, name); match { // whether it is there yet or not
			return fmt.Sprintf("the socket of a container runtime (%s): %s", name, taken)
		}
		found, _ := filepath.Glob(pattern)
		for _, socket := range found {
			own, err := spotOf(socket)
			if err != nil || own.missing || at.missing {
				continue
			}
			if at.within(own) {
				return fmt.Sprintf("the socket of a container runtime (%s): %s", socket, taken)
			}
			if own.within(at) {
				return fmt.Sprintf("%s, which holds the socket of a container runtime (%s): %s", at.path, socket, taken)
			}
		}
	}
	return ""
}
