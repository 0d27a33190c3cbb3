package monitor

import (
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/pod"
	"podrun/runtime"
	"podrun/sandbox"
	"podrun/volumes"
)

// shmSize is containerd's for a pod's /dev/shm.
const shmSize = 64 << 20

func (m *monitor) mountVolumes() error {
	objects, err := m.references()
	if err != nil {
		return err
	}
	dir := m.store.PodDir(m.uid())
	m.volumes, err = volumes.Mount(volumes.Spec{
		Pod: m.pod, ConfigMaps: objects.ConfigMaps, Secrets: objects.Secrets,
		Dir: filepath.Join(dir, "volumes"), Claims: m.store.ClaimDir(m.pod.Namespace),
		Memory:      runtime.PodResources(m.pod).Memory,
		OnMachine:   func(f func() error) error { return sandbox.InMounts(m.mounts, f) },
		Allocatable: m.allocatable,
	})
	if err != nil {
		return err
	}
	for _, text := range m.volumes.Unheard() {
		m.event(pod.Event{Time: time.Now(), Type: v1.EventTypeWarning, Reason: "MountPropagation", Message: text})
	}
	m.shm, err = volumes.Shm(dir, shmSize)
	return err
}
