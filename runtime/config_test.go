package runtime

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestCapabilities(t *testing.T) {
	own, err := ownCapabilities()
	must(t, err)
	defaults := strings.Join(defaultCapabilities, " ")
	without := strings.Replace(defaults, "CAP_MKNOD ", "", 1)
	tests := []struct {
		why       string
		add, drop []v1.Capability
		want, err string
	}{
		{"nothing said", nil, nil, defaults, ""},
		{"drop", nil, []v1.Capability{"MKNOD"}, without, ""},
		{"with its prefix, in small letters", nil, []v1.Capability{"cap_mknod"}, without, ""},
		{"drop all", nil, []v1.Capability{"ALL"}, "", ""},
		{"drop all, add one", []v1.Capability{"NET_BIND_SERVICE"}, []v1.Capability{"all"}, "CAP_NET_BIND_SERVICE", ""},
		{"add", []v1.Capability{"SYS_PTRACE"}, nil, defaults + " CAP_SYS_PTRACE", ""},
		{"add what is there", []v1.Capability{"KILL", "KILL"}, nil, defaults, ""},
		{"add all", []v1.Capability{"ALL"}, nil, strings.Join(own, " "), ""},
		{"add and drop", []v1.Capability{"SYS_PTRACE", "KILL"}, []v1.Capability{"SYS_PTRACE", "KILL"}, strings.Replace(defaults, " CAP_KILL", "", 1), ""},
		{"add all, drop one", []v1.Capability{"ALL"}, []v1.Capability{"CHOWN"}, strings.Join(slices.DeleteFunc(slices.Clone(own), func(c string) bool { return c == "CAP_CHOWN" }), " "), ""},
		{"add all, drop all", []v1.Capability{"ALL"}, []v1.Capability{"ALL"}, "", ""},
		{"a drop of what is not there", nil, []v1.Capability{"SYS_ADMIN"}, defaults, ""},
		{"no such capability", []v1.Capability{"SYS_MAGIC"}, nil, "", `unknown capability "SYS_MAGIC"`},
	}
	for _, test := range tests {
		got, err := capabilities(v1.SecurityContext{Capabilities: &v1.Capabilities{Add: test.add, Drop: test.drop}})
		checkConfigError(t, test.why, err, test.err)
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s:\ngot  %v\nwant %v", test.why, got, test.want)
		}
	}
	got, err := capabilities(v1.SecurityContext{Privileged: ptr(true)})
	if err != nil || !slices.Equal(got, own) {
		t.Errorf("privileged: got %v (%v), want %v", got, err, own)
	}
	if len(defaultCapabilities) != 14 {
		t.Errorf("the defaults were changed: %v", defaultCapabilities)
	}
	sets := capabilitySets(own)
	if len(sets.Inheritable) != 0 || len(sets.Ambient) != 0 {
		t.Errorf("inheritable %v, ambient %v: want none", sets.Inheritable, sets.Ambient)
	}
}

func TestSeccompFilter(t *testing.T) {
	profile := func(kind v1.SeccompProfileType) *v1.SeccompProfile { return &v1.SeccompProfile{Type: kind} }
	tests := []struct {
		why  string
		sc   v1.SecurityContext
		want bool
	}{
		{"nothing said", v1.SecurityContext{}, true},
		{"RuntimeDefault", v1.SecurityContext{SeccompProfile: profile(v1.SeccompProfileTypeRuntimeDefault)}, true},
		{"Unconfined", v1.SecurityContext{SeccompProfile: profile(v1.SeccompProfileTypeUnconfined)}, false},
		{"privileged", v1.SecurityContext{Privileged: ptr(true), SeccompProfile: profile(v1.SeccompProfileTypeRuntimeDefault)}, false},
	}
	for _, test := range tests {
		filter, err := new(Spec).seccompFilter(test.sc, defaultCapabilities)
		if err != nil || (filter != nil) != test.want {
			t.Errorf("%s: got a filter: %v (%v), want %v", test.why, filter != nil, err, test.want)
		}
	}
	allowed := func(caps []string, call string) bool {
		filter, err := new(Spec).seccompFilter(v1.SecurityContext{}, caps)
		must(t, err)
		if slices.Contains(filter.Architectures, "x32") {
			t.Error("the filter has x32")
		}
		return slices.ContainsFunc(filter.Syscalls, func(s *configs.Syscall) bool {
			return s.Name == call && s.Action == configs.Allow && len(s.Args) == 0
		})
	}
	if allowed(defaultCapabilities, "mount") || !allowed([]string{"CAP_SYS_ADMIN"}, "mount") || !allowed(nil, "read") {
		t.Error("mount is allowed with CAP_SYS_ADMIN alone, and read always: it is not so")
	}
}

func TestProcMount(t *testing.T) {
	unmasked, usual := v1.UnmaskedProcMount, v1.DefaultProcMount
	for _, test := range []struct {
		sc   v1.SecurityContext
		want bool
	}{
		{v1.SecurityContext{}, true},
		{v1.SecurityContext{ProcMount: &usual}, true},
		{v1.SecurityContext{ProcMount: &unmasked}, false},
		{v1.SecurityContext{Privileged: ptr(true)}, false},
	} {
		var c configs.Config
		restrict(&c, test.sc)
		if got := slices.Contains(c.MaskPaths, "/proc/kcore"); got != test.want || slices.Contains(c.ReadonlyPaths, "/proc/sys") != test.want {
			t.Errorf("%+v: got %v and %v", test.sc, c.MaskPaths, c.ReadonlyPaths)
		}
	}
}

func somePod(c v1.Container) *Spec {
	return &Spec{ID: "c", Pod: &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{c}}}, Container: &c, Image: Image{Cmd: []string{"sh"}}, PausePID: 42, Shm: "/shm"}
}

func TestPlan(t *testing.T) {
	s := somePod(v1.Container{})
	s.Rootfs = imageTree(t)
	s.Binds = []Bind{{Source: "/a", Destination: "/data"}, {Source: "/b", Destination: "/ro", ReadOnly: true}}
	plain, first, err := s.plan()
	must(t, err)
	if !first.Init || first.Cwd != "/" || plain.NoNewPrivileges || plain.Readonlyfs || plain.Seccomp == nil {
		t.Errorf("defaults: got %+v", plain)
	}
	if len(plain.Devices) == 0 || len(plain.MaskPaths) != len(maskedPaths) || len(plain.ReadonlyPaths) != len(readonlyPaths) {
		t.Errorf("got %d devices, masked %v, read-only %v", len(plain.Devices), plain.MaskPaths, plain.ReadonlyPaths)
	}
	for _, kind := range []configs.NamespaceType{configs.NEWIPC, configs.NEWUTS, configs.NEWNET} {
		if got := plain.Namespaces.PathOf(kind); !strings.HasPrefix(got, "/proc/42/ns/") {
			t.Errorf("%s: got %q, want pause's", kind, got)
		}
	}
	if !plain.Namespaces.Contains(configs.NEWPID) || plain.Namespaces.PathOf(configs.NEWPID) != "" {
		t.Error("want a PID namespace of its own")
	}
	flags := func(c *configs.Config, at string) int {
		for _, m := range c.Mounts {
			if m.Destination == at {
				return m.Flags
			}
		}
		t.Errorf("nothing is mounted at %s", at)
		return 0
	}
	if flags(plain, "/sys")&unix.MS_RDONLY == 0 || flags(plain, "/sys/fs/cgroup")&unix.MS_RDONLY == 0 {
		t.Error("/sys can be written to")
	}
	if flags(plain, "/data")&unix.MS_RDONLY != 0 || flags(plain, "/ro")&unix.MS_RDONLY == 0 {
		t.Error("the wrong bind is read-only")
	}

	s.Container.SecurityContext = &v1.SecurityContext{Privileged: ptr(true), ReadOnlyRootFilesystem: ptr(true), AllowPrivilegeEscalation: ptr(true)}
	s.Pod.Spec.HostNetwork = true
	free, _, err := s.plan()
	must(t, err)
	if free.Namespaces.Contains(configs.NEWNET) {
		t.Error("hostNetwork: want no network namespace")
	}
	if flags(free, "/sys")&unix.MS_RDONLY != 0 || free.Seccomp != nil || free.MaskPaths != nil || free.ReadonlyPaths != nil || !free.Readonlyfs {
		t.Errorf("privileged: got %+v", free)
	}
	if len(free.Cgroups.Devices) != 1 || !free.Cgroups.Devices[0].Allow {
		t.Errorf("privileged: got device rules %+v", free.Cgroups.Devices)
	}
	s.Container.SecurityContext = &v1.SecurityContext{AllowPrivilegeEscalation: ptr(false)}
	if c, _, err := s.plan(); err != nil || !c.NoNewPrivileges {
		t.Errorf("allowPrivilegeEscalation false: got no_new_privs %v (%v)", c.NoNewPrivileges, err)
	}
}

func quantities(cpu, memory string) v1.ResourceList {
	list := v1.ResourceList{}
	if cpu != "" {
		list[v1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		list[v1.ResourceMemory] = resource.MustParse(memory)
	}
	return list
}

func needs(request, limit, memory string) v1.ResourceRequirements {
	return v1.ResourceRequirements{Requests: quantities(request, ""), Limits: quantities(limit, memory)}
}

func TestContainerResources(t *testing.T) {
	tests := []struct {
		request, limit, memory string
		shares                 uint64
		quota, bytes           int64
	}{
		{"", "", "", 2, 0, 0},
		{"100m", "", "", 102, 0, 0},
		{"1", "1", "64Mi", 1024, 100000, 64 << 20},
		{"1m", "1m", "", 2, 1000, 0},
		{"300", "500m", "1G", 262144, 50000, 1_000_000_000},
		{"1500m", "2500m", "", 1536, 250000, 0},
	}
	for _, test := range tests {
		r := ContainerResources(&v1.Pod{}, &v1.Container{Resources: needs(test.request, test.limit, test.memory)})
		if r.CpuShares != test.shares || r.CpuQuota != test.quota || r.Memory != test.bytes || r.MemorySwap != test.bytes {
			t.Errorf("%+v: got %d shares, quota %d, memory %d, swap %d", test, r.CpuShares, r.CpuQuota, r.Memory, r.MemorySwap)
		}
		if r.CpuWeight < 1 || r.CpuWeight > 10000 || (r.CpuPeriod == 100000) != (test.quota != 0) {
			t.Errorf("%+v: got weight %d, period %d", test, r.CpuWeight, r.CpuPeriod)
		}
	}
}

func TestPodResources(t *testing.T) {
	tests := []struct {
		why              string
		containers, init []v1.ResourceRequirements
		shares           uint64
		quota, bytes     int64
	}{
		{"nothing", []v1.ResourceRequirements{{}}, nil, 2, 0, 0},
		{"the sum", []v1.ResourceRequirements{needs("100m", "200m", "1Mi"), needs("1", "1", "2Mi")}, nil, 1126, 120000, 3 << 20},
		{"one without limits: the pod has none", []v1.ResourceRequirements{needs("100m", "200m", "1Mi"), needs("100m", "", "")}, nil, 204, 0, 0},
		{"one without a memory limit", []v1.ResourceRequirements{needs("", "200m", "1Mi"), needs("", "200m", "")}, nil, 2, 40000, 0},
		{"a larger init container", []v1.ResourceRequirements{needs("100m", "100m", "1Mi")}, []v1.ResourceRequirements{needs("2", "2", "8Mi"), needs("1", "1", "9Mi")}, 2048, 200000, 9 << 20},
		{"a smaller init container", []v1.ResourceRequirements{needs("2", "2", "8Mi")}, []v1.ResourceRequirements{needs("1", "1", "1Mi")}, 2048, 200000, 8 << 20},
		{"an init container without limits", []v1.ResourceRequirements{needs("1", "1", "1Mi")}, []v1.ResourceRequirements{{}}, 1024, 0, 0},
	}
	for _, test := range tests {
		var spec v1.PodSpec
		for _, r := range test.containers {
			spec.Containers = append(spec.Containers, v1.Container{Resources: r})
		}
		for _, r := range test.init {
			spec.InitContainers = append(spec.InitContainers, v1.Container{Resources: r})
		}
		r := PodResources(&v1.Pod{Spec: spec})
		if r.CpuShares != test.shares || r.CpuQuota != test.quota || r.Memory != test.bytes {
			t.Errorf("%s: got %d shares, quota %d, memory %d, want %d, %d, %d", test.why, r.CpuShares, r.CpuQuota, r.Memory, test.shares, test.quota, test.bytes)
		}
	}
}

// pod is one with the given memory requests of its containers.
func podRequesting(requests ...string) *v1.Pod {
	p := &v1.Pod{}
	for _, r := range requests {
		p.Spec.Containers = append(p.Spec.Containers, v1.Container{Resources: v1.ResourceRequirements{Requests: quantities("", r)}})
	}
	return p
}

func TestOOMScore(t *testing.T) {
	always := v1.ContainerRestartPolicyAlways
	withPod := func(p *v1.Pod, request string) *v1.Pod {
		p.Spec.Resources = &v1.ResourceRequirements{Requests: quantities("", request)}
		return p
	}
	sidecar := podRequesting("2Gi", "4Gi")
	sidecar.Spec.InitContainers = []v1.Container{{Name: "s", RestartPolicy: &always}}
	tests := []struct {
		why   string
		class v1.PodQOSClass
		pod   *v1.Pod
		want  int
	}{
		{"guaranteed", v1.PodQOSGuaranteed, podRequesting("1Gi"), -997},
		{"nothing asked for", v1.PodQOSBestEffort, podRequesting(""), 1000},
		{"burstable without memory", v1.PodQOSBurstable, podRequesting(""), 999},
		{"half of the machine", v1.PodQOSBurstable, podRequesting("4Gi"), 500},
		{"all of it", v1.PodQOSBurstable, podRequesting("8Gi"), 3},
		{"more than it", v1.PodQOSBurstable, podRequesting("80Gi"), 3},
		{"half of what the pod has left", v1.PodQOSBurstable, withPod(podRequesting("1Gi", "1Gi"), "6Gi"), 1000 - 375},
		{"a sidecar counts as the least container", v1.PodQOSBurstable, sidecar, 750},
	}
	for _, test := range tests {
		c := &test.pod.Spec.Containers[0]
		if len(test.pod.Spec.InitContainers) > 0 {
			c = &test.pod.Spec.InitContainers[0]
		}
		if got := oomScore(test.class, test.pod, c, 8<<30); got != test.want {
			t.Errorf("%s: got %d, want %d", test.why, got, test.want)
		}
	}
	least := lowestOOMScore()
	if got, want := OOMScore(v1.PodQOSGuaranteed, podRequesting("1Gi"), &v1.Container{}, 8<<30), max(-997, least); got != want {
		t.Errorf("what this process may set: got %d, want %d", got, want)
	}
	if got := OOMScore(v1.PodQOSBurstable, podRequesting("1"), &v1.Container{}, 0); got < -1000 || got > 1000 {
		t.Errorf("a machine without memory: got %d", got)
	}
}

// TestPodLevelResources: what the pod itself asks for goes before the sum of its
// containers, and limits those that have no limit of their own.
func TestPodLevelResources(t *testing.T) {
	p := podRequesting("1Mi")
	p.Spec.Containers = append(p.Spec.Containers, v1.Container{Resources: needs("100m", "200m", "2Mi")})
	p.Spec.Resources = &v1.ResourceRequirements{Requests: quantities("1", ""), Limits: quantities("2", "8Mi")}
	if r := PodResources(p); r.CpuShares != 1024 || r.CpuQuota != 200000 || r.Memory != 8<<20 {
		t.Errorf("the pod: got %d shares, quota %d, memory %d", r.CpuShares, r.CpuQuota, r.Memory)
	}
	if r := ContainerResources(p, &p.Spec.Containers[0]); r.CpuQuota != 200000 || r.Memory != 8<<20 {
		t.Errorf("a container without limits: got quota %d, memory %d", r.CpuQuota, r.Memory)
	}
	if r := ContainerResources(p, &p.Spec.Containers[1]); r.CpuShares != 102 || r.CpuQuota != 20000 || r.Memory != 2<<20 {
		t.Errorf("a container with limits: got %d shares, quota %d, memory %d", r.CpuShares, r.CpuQuota, r.Memory)
	}
}

func TestHugePagesOfAPod(t *testing.T) {
	asked := v1.ResourceList{"hugepages-2Mi": resource.MustParse("4Mi"), "hugepages-1Gi": resource.MustParse("1Gi"), "memory": resource.MustParse("1Mi")}
	for size, want := range map[string]uint64{"2MB": 4 << 20, "1GB": 1 << 30, "64KB": 0} {
		if got := askedOf(asked, size); got != want {
			t.Errorf("%s: got %d, want %d", size, got, want)
		}
	}
}
