package pod

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func sized(name string, medium v1.StorageMedium, limit string) v1.Volume {
	source := &v1.EmptyDirVolumeSource{Medium: medium}
	if limit != "" {
		q := resource.MustParse(limit)
		source.SizeLimit = &q
	}
	return v1.Volume{Name: name, VolumeSource: v1.VolumeSource{EmptyDir: source}}
}

func stored(name, limit string) v1.Container {
	c := v1.Container{Name: name}
	if limit != "" {
		c.Resources.Limits = v1.ResourceList{v1.ResourceEphemeralStorage: resource.MustParse(limit)}
	}
	return c
}

func TestStorageExceeded(t *testing.T) {
	spec := v1.PodSpec{
		InitContainers: []v1.Container{stored("init", "1Mi")},
		Containers:     []v1.Container{stored("a", "2Mi"), stored("b", "4Mi"), stored("free", "")},
		Volumes: []v1.Volume{
			sized("limited", "", "1500Ki"), sized("open", "", ""), sized("zero", "", "0"), sized("huge", v1.StorageMediumHugePages, "2Mi"),
			{Name: "host", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{}}},
		},
	}
	const mi = 1 << 20
	tests := []struct {
		name  string
		usage StorageUsage
		want  string
	}{
		{"nothing", StorageUsage{}, ""},
		{"all as much as it may", StorageUsage{Volumes: map[string]int64{"limited": 1500 << 10, "huge": 2 * mi}, Containers: map[string]int64{"a": 2 * mi}}, ""},
		{"a volume", StorageUsage{Volumes: map[string]int64{"limited": 1500<<10 + 1}}, `Usage of EmptyDir volume "limited" exceeds the limit "1500Ki". `},
		{"huge pages", StorageUsage{Volumes: map[string]int64{"huge": 4 * mi}}, `Usage of EmptyDir volume "huge" exceeds the limit "2Mi". `},
		{"a limit of 0 is none", StorageUsage{Volumes: map[string]int64{"zero": mi}}, ""},
		{"a container", StorageUsage{Containers: map[string]int64{"a": 2*mi + 1}}, `Container a exceeded its local ephemeral storage limit "2Mi". `},
		{"a container without a limit, with the pod", StorageUsage{Containers: map[string]int64{"free": 7 * mi}}, "Pod ephemeral local storage usage exceeds the total limit of containers 6Mi. "},
		{"volumes are the pod's", StorageUsage{Volumes: map[string]int64{"open": 5 * mi}, Containers: map[string]int64{"b": 1*mi + 1}}, "Pod ephemeral local storage usage exceeds the total limit of containers 6Mi. "},
		{"files are the pod's", StorageUsage{Files: 6*mi + 1}, "Pod ephemeral local storage usage exceeds the total limit of containers 6Mi. "},
		{"memory and the machine's are not", StorageUsage{Volumes: map[string]int64{"host": 7 * mi}}, ""},
		{"the volume comes first", StorageUsage{Volumes: map[string]int64{"limited": 9 * mi}, Containers: map[string]int64{"a": 9 * mi}}, `Usage of EmptyDir volume "limited" exceeds the limit "1500Ki". `},
	}
	for _, test := range tests {
		if got := test.usage.Exceeded(&v1.Pod{Spec: spec}); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestWhatCounts(t *testing.T) {
	plain := &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{stored("a", "")}}}
	limited := &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{stored("a", "1Mi")}}}
	tests := []struct {
		volume         v1.Volume
		plain, limited bool
	}{
		{sized("disk", "", ""), false, true},
		{sized("disk", "", "1Mi"), true, true},
		{sized("memory", v1.StorageMediumMemory, "1Mi"), false, false}, // its file system holds it to that
		{sized("huge", v1.StorageMediumHugePages, "1Mi"), true, true},
		{v1.Volume{Name: "config", VolumeSource: v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{}}}, false, true},
		{v1.Volume{Name: "host", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{}}}, false, false},
	}
	for _, test := range tests {
		if got := VolumeCounts(plain, &test.volume); got != test.plain {
			t.Errorf("%s of a pod without limits: got %t", test.volume.Name, got)
		}
		if got := VolumeCounts(limited, &test.volume); got != test.limited {
			t.Errorf("%s of a pod with a limit: got %t", test.volume.Name, got)
		}
	}
}
