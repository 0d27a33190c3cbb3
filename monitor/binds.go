package monitor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"

	v1 "k8s.io/api/core/v1"

	"podrun/image"
	"podrun/manifest"
	"podrun/pod"
	"podrun/runtime"
	"podrun/step"
	"podrun/volumes"
)

// binds are all files and directories that show up in a container, parents
// before what lies below them.
func (m containers) binds(c *v1.Container, id string, img *image.Image, env []v1.EnvVar) ([]runtime.Bind, error) {
	mounted, err := m.mountsOf(c, id, env)
	if err != nil {
		// What the variables come to may change while the pod waits.
		waits := manifest.Changeable(c) && slices.ContainsFunc(c.VolumeMounts, func(v v1.VolumeMount) bool { return v.SubPathExpr != "" })
		reason := "CreateContainerConfigError"
		if _, refused := errors.AsType[*volumes.RuntimeError](err); refused {
			reason, waits = "CreateContainerError", false
		}
		return nil, &pod.Failure{Reason: reason, Err: err, Waits: waits}
	}
	if err := m.checkMappable(mounted); err != nil {
		return nil, err
	}
	var list []runtime.Bind
	taken := map[string]bool{}
	for _, b := range mounted {
		list = append(list, runtime.Bind{
			Source: b.Source, Destination: b.Destination,
			ReadOnly: b.ReadOnly, Recursive: b.Recursive, NoExec: b.NoExec, Propagation: b.Propagation,
			Unmapped: b.Unmapped,
		})
		taken[filepath.Clean(b.Destination)] = true
	}
	own, err := m.ownFiles(c, id)
	if err != nil {
		return nil, err
	}
	anonymous, err := m.imageVolumes(img, id)
	if err != nil {
		return nil, err
	}
	for _, b := range slices.Concat(own, anonymous) {
		if !taken[filepath.Clean(b.Destination)] { // the manifest's mount wins
			list = append(list, b)
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return len(list[i].Destination) < len(list[j].Destination) })
	return list, nil
}

// mountsOf are the container's volumeMounts, their subPaths expanded.
func (m containers) mountsOf(c *v1.Container, id string, env []v1.EnvVar) ([]volumes.Bind, error) {
	mounts, err := manifest.ExpandSubPaths(c.VolumeMounts, env)
	if err != nil {
		return nil, err
	}
	expanded := *c
	expanded.VolumeMounts = mounts
	return m.volumes.Binds(&expanded, id)
}

// ownFiles are those that the kubelet and containerd give every container.
func (m containers) ownFiles(c *v1.Container, id string) ([]runtime.Bind, error) {
	defer step.Change("make message file")()
	message := m.messageFile(id)
	f, err := os.OpenFile(message, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	// The umask would take the right to write from users other than root.
	if err := errors.Join(f.Chmod(0o666), f.Close()); err != nil {
		return nil, err
	}
	path := c.TerminationMessagePath
	if path == "" {
		path = v1.TerminationMessagePathDefault
	}
	// As containerd: these two are the sandbox's, the hosts file is the kubelet's.
	sc := c.SecurityContext
	readOnly := sc != nil && sc.ReadOnlyRootFilesystem != nil && *sc.ReadOnlyRootFilesystem
	return []runtime.Bind{
		{Source: m.files.hosts, Destination: "/etc/hosts"},
		{Source: m.files.hostname, Destination: "/etc/hostname", ReadOnly: readOnly},
		{Source: m.files.resolvConf, Destination: "/etc/resolv.conf", ReadOnly: readOnly},
		{Source: message, Destination: filepath.Join("/", path)},
	}, nil
}

// imageVolumes makes a directory for each VOLUME of the image, with what the
// image has there, as containerd does. It lives as long as the container.
func (m containers) imageVolumes(img *image.Image, id string) ([]runtime.Bind, error) {
	var list []runtime.Bind
	for path := range img.Config.Volumes {
		if !filepath.IsAbs(path) || filepath.Clean(path) == "/" {
			continue // an image may say anything; a volume over the root would hide the image
		}
		sum := sha256.Sum256([]byte(path))
		dir := filepath.Join(m.rootDir(id), "volumes", hex.EncodeToString(sum[:8]))
		if err := m.fillVolume(dir, m.rootfs(id), path); err != nil {
			return nil, fmt.Errorf("make the image's volume %s: %w", path, err)
		}
		list = append(list, runtime.Bind{Source: dir, Destination: path, Unmapped: true})
	}
	return list, nil
}

func (m containers) fillVolume(dir, rootfs, path string) error {
	defer step.Change("fill the volume of an image")()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if m.users != nil { // what is copied has the machine's ids
		if err := os.Chown(dir, m.users.first, m.users.first); err != nil {
			return err
		}
	}
	return volumes.CopyUp(rootfs, path, dir)
}
