package monitor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/pod"
	"podrun/tree"
)

const (
	// storageInterval is how often the disk usage of a pod that has a limit is
	// looked at, the kubelet's monitoringInterval for evictions.
	storageInterval = 10 * time.Second
	// storageShare of the time goes by between two looks, as a multiple of how long
	// one takes: walking through millions of files must not keep a processor busy.
	storageShare = 100
	// evictionGrace is the kubelet's immediateEvictionGracePeriodSeconds.
	evictionGrace = 1
)

// watchStorage ends the pod when it uses more of the disk than its limits allow.
// For a pod without such limits it returns at once.
func (m *monitor) watchStorage(ctx context.Context) {
	if !storageLimited(m.pod) {
		return
	}
	wait := storageInterval
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		began := time.Now()
		usage, err := m.storageUsage()
		if err != nil {
			fmt.Fprintf(os.Stderr, "podrun: measure the pod's disk usage: %v\n", err)
		} else if text := usage.Exceeded(m.pod); text != "" {
			grace := int64(evictionGrace)
			m.life.Evict(pod.Evicted, text, &grace)
			return
		}
		wait = max(storageInterval, storageShare*time.Since(began))
	}
}

func storageLimited(p *v1.Pod) bool {
	for i := range p.Spec.Volumes {
		if pod.VolumeCounts(p, &p.Spec.Volumes[i]) {
			return true
		}
	}
	return pod.TotalCounts(p)
}

// storageUsage measures what the pod's limits ask for.
func (m *monitor) storageUsage() (pod.StorageUsage, error) {
	u := pod.StorageUsage{Volumes: map[string]int64{}, Containers: map[string]int64{}}
	dir := m.store.PodDir(m.uid())
	for i := range m.pod.Spec.Volumes {
		v := &m.pod.Spec.Volumes[i]
		if !pod.VolumeCounts(m.pod, v) {
			continue
		}
		bytes, err := tree.Usage(filepath.Join(dir, "volumes", v.Name))
		if err != nil {
			return u, err
		}
		u.Volumes[v.Name] = bytes
	}
	if !pod.TotalCounts(m.pod) {
		return u, nil
	}
	for _, list := range [][]v1.Container{m.pod.Spec.InitContainers, m.pod.Spec.Containers} {
		for i := range list {
			bytes, err := m.containerUsage(list[i].Name)
			if err != nil {
				return u, err
			}
			u.Containers[list[i].Name] = bytes
		}
	}
	var err error
	u.Files, err = tree.Usage(filepath.Join(dir, "files"))
	return u, err
}

// containerUsage is what the writable layers of the container's attempts and its
// logs occupy.
func (m *monitor) containerUsage(name string) (int64, error) {
	paths, err := filepath.Glob(filepath.Join(m.store.PodDir(m.uid()), "containers", name+".[0-9]*", "upper"))
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, path := range append(paths, containers{m}.logPath(name)) {
		bytes, err := tree.Usage(path)
		if err != nil {
			return 0, err
		}
		sum += bytes
	}
	return sum, nil
}
