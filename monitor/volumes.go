package monitor

import (
	"errors"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/manifest"
	"podrun/pod"
	"podrun/runtime"
	"podrun/sandbox"
	"podrun/state"
	"podrun/volumes"
)

// shmSize is containerd's for a pod's /dev/shm.
const shmSize = 64 << 20

// missingVolumes says which volumes cannot be mounted, because what they show is not there.
type missingVolumes struct{ error }

// mountPresent is mountVolumes in build: what is missing is waited for by the containers.
func (m *monitor) mountPresent() error {
	err := m.mountVolumes()
	var missing *missingVolumes
	if m.unmounted = errors.As(err, &missing); m.unmounted {
		return nil
	}
	return err
}

// mountMissing mounts the volumes once everything that they show is there. A pod
// of which something has run has its volumes: they go on showing what they did.
func (m *monitor) mountMissing() error {
	m.building.Lock()
	defer m.building.Unlock()
	if !m.unmounted {
		return nil
	}
	err := m.mountVolumes()
	m.unmounted = err != nil // whatever it was: without them there is nothing to bind
	var missing *missingVolumes
	if errors.As(err, &missing) {
		return &pod.Failure{Reason: "ContainerCreating", Err: err, Waits: true}
	}
	return err
}

func (m *monitor) mountVolumes() error {
	set, shm, err := m.mountAll()
	if err != nil {
		return err
	}
	m.volumes, m.shm = set, shm
	for _, text := range m.volumes.Unheard() {
		m.event(pod.Event{Time: time.Now(), Type: v1.EventTypeWarning, Reason: "MountPropagation", Message: text})
	}
	return nil
}

// mountAll mounts what is not mounted of the volumes and /dev/shm.
func (m *monitor) mountAll() (set *volumes.Set, shm string, err error) {
	p := m.current() // the record's may be older
	objects, err := m.references()
	if err != nil {
		return nil, "", err
	}
	if missing := manifest.MissingVolumes(p, objects); len(missing) > 0 && !m.checkpoint.last().EverStarted {
		return nil, "", &missingVolumes{errors.Join(missing...)}
	}
	if waits, err := m.useClaims(objects); err != nil {
		return nil, "", err
	} else if len(waits) > 0 {
		return nil, "", &missingVolumes{errors.Join(waits...)}
	}
	dir := m.store.PodDir(m.uid())
	set, err = volumes.Mount(volumes.Spec{
		Pod: p, ConfigMaps: objects.ConfigMaps, Secrets: objects.Secrets,
		Dir: filepath.Join(dir, "volumes"), Claims: m.store.ClaimDir(m.pod.Namespace),
		Guard:       guard(m.store),
		Memory:      runtime.PodResources(p).Memory,
		Image:       m.mountImageVolume,
		OnMachine:   func(f func() error) error { return sandbox.InMounts(m.mounts, f) },
		Allocatable: m.allocatable,
	})
	if err != nil {
		return nil, "", err
	}
	if m.pod.Spec.HostIPC {
		return set, "/dev/shm", nil // the machine's, as containerd has it
	}
	shm, err = volumes.Shm(dir, shmSize, m.rootID())
	return set, shm, err
}

// guard keeps containers away from the store.
func guard(s *state.Store) volumes.Guard {
	return volumes.Guard{State: []string{s.Root, s.RunRoot}, Logs: s.LogDir}
}

// ReviewHostPaths refuses a pod whose hostPath volumes are podrun's own state, and
// warns of those that hand over the machine.
func ReviewHostPaths(s *state.Store, p *v1.Pod) (warnings []string, err error) {
	g := guard(s)
	return g.Review(p)
}
