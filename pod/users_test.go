package pod

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

func TestUsersObstacle(t *testing.T) {
	yes, large := true, int64(65536)
	socket, both := v1.HostPathSocket, v1.MountPropagationBidirectional
	security := func(sc v1.SecurityContext) func(*v1.PodSpec) {
		return func(s *v1.PodSpec) { s.Containers[0].SecurityContext = &sc }
	}
	add := func(name v1.Capability) func(*v1.PodSpec) {
		return security(v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{name}}})
	}
	for _, tt := range []struct {
		name   string
		change func(*v1.PodSpec)
		want   string
	}{
		{"nothing said", func(*v1.PodSpec) {}, ""},
		{"network", func(s *v1.PodSpec) { s.HostNetwork = true }, "spec.hostNetwork is true"},
		{"processes", func(s *v1.PodSpec) { s.HostPID = true }, "spec.hostPID is true"},
		{"ipc", func(s *v1.PodSpec) { s.HostIPC = true }, "spec.hostIPC is true"},
		{"privileged", security(v1.SecurityContext{Privileged: &yes}), "container main is privileged"},
		{"privileged init", func(s *v1.PodSpec) {
			s.InitContainers = []v1.Container{{Name: "init", SecurityContext: &v1.SecurityContext{Privileged: &yes}}}
		}, "container init is privileged"},
		{"over the machine", add("CAP_SYS_ADMIN"), "container main adds the capability CAP_SYS_ADMIN, which is over the machine"},
		{"all", add("ALL"), "container main adds the capability ALL, which is over the machine"},
		{"over its network", add("NET_ADMIN"), ""},
		{"user", security(v1.SecurityContext{RunAsUser: &large}), "container main names the user or group 65536, beyond 65535"},
		{"group", func(s *v1.PodSpec) { s.SecurityContext = &v1.PodSecurityContext{SupplementalGroups: []int64{5, large}} },
			"spec.securityContext names the user or group 65536, beyond 65535"},
		{"socket", func(s *v1.PodSpec) {
			s.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Type: &socket}}}}
		}, `volume "v" is a socket of the machine`},
		{"directory", func(s *v1.PodSpec) {
			s.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/srv"}}}}
		}, ""},
		{"mounts", func(s *v1.PodSpec) {
			s.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "v", MountPropagation: &both}}
		}, "container main mounts for the machine"},
	} {
		p := &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Name: "main"}}}}
		tt.change(&p.Spec)
		if got := UsersObstacle(p); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
