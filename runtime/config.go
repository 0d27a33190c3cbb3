package runtime

import (
	"fmt"
	"strings"

	hostdevices "github.com/moby/sys/devices"
	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/specconv"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// plan turns a spec into libcontainer's config and its first process. It reads
// the image's user files and makes nothing.
func (s *Spec) plan() (*configs.Config, *libcontainer.Process, error) {
	sc := s.security()
	args, err := s.command()
	if err != nil {
		return nil, nil, err
	}
	id, err := s.identity(sc)
	if err != nil {
		return nil, nil, err
	}
	if err := s.checkUsers(id); err != nil {
		return nil, nil, err
	}
	env, err := s.withHome(s.environment(), id)
	if err != nil {
		return nil, nil, err
	}
	caps, err := capabilities(sc)
	if err != nil {
		return nil, nil, err
	}
	filter, err := s.seccompFilter(sc, caps)
	if err != nil {
		return nil, nil, err
	}
	config := &configs.Config{
		Version:         "1.2.0",
		Rootfs:          s.Rootfs,
		Readonlyfs:      isTrue(sc.ReadOnlyRootFilesystem),
		Namespaces:      s.namespaces(sc),
		Mounts:          s.mounts(sc),
		Capabilities:    capabilitySets(caps),
		Seccomp:         filter,
		NoNewPrivileges: sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation,
		OomScoreAdj:     &s.OOMScore,
		Cgroups: &cgroups.Cgroup{
			Path:      s.Cgroup,
			Resources: ContainerResources(s.Pod, s.Container),
		},
		RootPropagation: rootPropagation(s.Binds),
	}
	restrict(config, sc)
	s.useUsers(config)
	if err := addDevices(config, isTrue(sc.Privileged)); err != nil {
		return nil, nil, err
	}
	process := &libcontainer.Process{
		Args:             args,
		Env:              env,
		UID:              id.UID,
		GID:              id.GID,
		AdditionalGroups: id.Groups,
		Cwd:              s.workingDir(),
		Init:             true,
	}
	return config, process, s.confine(config, sc)
}

// namespaces: its own mount and PID namespace, unless processes are shared; the
// pod's for the rest. The machine's are joined as pause has them, by making none.
func (s *Spec) namespaces(sc v1.SecurityContext) configs.Namespaces {
	of := func(kind string) string { return fmt.Sprintf("/proc/%d/ns/%s", s.PausePID, kind) }
	list := configs.Namespaces{
		{Type: configs.NEWUTS, Path: of("uts")},
		{Type: configs.NEWNS},
	}
	if !s.Pod.Spec.HostIPC {
		list = append(list, configs.Namespace{Type: configs.NEWIPC, Path: of("ipc")})
	}
	if !s.Pod.Spec.HostPID {
		list = append(list, configs.Namespace{Type: configs.NEWPID, Path: s.PIDs})
	}
	if !s.Pod.Spec.HostNetwork {
		list = append(list, configs.Namespace{Type: configs.NEWNET, Path: of("net")})
	}
	// containerd's rule: a cgroup namespace on cgroup v2, but for privileged ones.
	if cgroups.IsCgroup2UnifiedMode() && !isTrue(sc.Privileged) {
		list = append(list, configs.Namespace{Type: configs.NEWCGROUP})
	}
	return list
}

func (s *Spec) mounts(sc v1.SecurityContext) []*configs.Mount {
	const safe = unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV
	sysFlags := safe | unix.MS_RDONLY
	if isTrue(sc.Privileged) {
		sysFlags = safe
	}
	list := []*configs.Mount{
		{Device: "proc", Source: "proc", Destination: "/proc", Flags: safe},
		{Device: "tmpfs", Source: "tmpfs", Destination: "/dev", Flags: unix.MS_NOSUID | unix.MS_STRICTATIME, Data: "mode=755,size=65536k"},
		{Device: "devpts", Source: "devpts", Destination: "/dev/pts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Data: "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		{Device: "mqueue", Source: "mqueue", Destination: "/dev/mqueue", Flags: safe},
		{Device: "sysfs", Source: "sysfs", Destination: "/sys", Flags: sysFlags},
		{Device: "cgroup", Source: "cgroup", Destination: "/sys/fs/cgroup", Flags: sysFlags | unix.MS_RELATIME},
		bind(Bind{Source: s.Shm, Destination: "/dev/shm"}, safe),
	}
	for _, b := range s.Binds {
		list = append(list, bind(b, 0))
	}
	return list
}

// bind is a file or directory of the pod's mount namespace in the container.
func bind(b Bind, flags int) *configs.Mount {
	m := &configs.Mount{
		Device: "bind", Source: b.Source, Destination: b.Destination,
		Flags:            flags | unix.MS_BIND | unix.MS_REC,
		PropagationFlags: []int{propagationFlags(b.Propagation)},
	}
	if b.ReadOnly {
		m.Flags |= unix.MS_RDONLY
	}
	if b.NoExec {
		m.Flags |= unix.MS_NOEXEC
	}
	if b.ReadOnly && b.Recursive {
		m.RecAttr = &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	}
	return m
}

// addDevices gives the usual eight devices, or to a privileged container all of
// the machine's.
func addDevices(config *configs.Config, privileged bool) error {
	r := config.Cgroups.Resources
	for _, d := range specconv.AllowedDevices {
		r.Devices = append(r.Devices, &d.Rule)
		if d.Path != "" {
			config.Devices = append(config.Devices, d)
		}
	}
	if !privileged {
		return nil
	}
	r.Devices = []*devices.Rule{{
		Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "rwm", Allow: true,
	}}
	host, err := hostdevices.HostDevices()
	if err != nil {
		return fmt.Errorf("list the machine's devices: %w", err)
	}
	for _, d := range host {
		if !hasDevice(config.Devices, d.Path) && !strings.HasPrefix(d.Path, "/dev/pts/") {
			config.Devices = append(config.Devices, d)
		}
	}
	return nil
}

func hasDevice(list []*devices.Device, path string) bool {
	for _, d := range list {
		if d.Path == path {
			return true
		}
	}
	return path == "/dev/ptmx" || path == "/dev/console"
}
