package monitor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/netns"
	"podrun/pod"
	"podrun/sandbox"
)

// build makes what the containers share. Everything in it finds what is already
// there, so that a new monitor of a running pod goes the same way. Nothing in it
// waits for anything else; the network and the cgroups are only waited for before
// a container is released (see Start), because the preparation of the first
// container takes several times as long. On cgroup v1 pause holds up all who
// change cgroups for some 12 ms, while it moves into its own.
func (m *monitor) build() error {
	if err := m.addresses(); err != nil {
		return err
	}
	m.background = make(chan struct{})
	go func() {
		var g errgroup.Group
		g.Go(func() error { return errors.Join(m.connect(), m.setSysctls()) })
		g.Go(m.makeCgroup)
		g.Go(func() error { return sandbox.JoinLeaf(sandbox.LeafPath(m.store.Instance, m.uid())) })
		m.failed = g.Wait()
		close(m.background)
	}()
	var g errgroup.Group
	g.Go(m.mountPresent)
	g.Go(m.writeFiles)
	return g.Wait()
}

// rebuild tries again what a new monitor of a running pod could not build.
func (m *monitor) rebuild() error {
	m.building.Lock()
	defer m.building.Unlock()
	if !m.unbuilt {
		return nil
	}
	if err := m.build(); err != nil {
		return err
	}
	m.unbuilt = false
	return nil
}

// settled waits for what build left in the background.
func (m *monitor) settled() error {
	m.building.Lock()
	background := m.background
	m.building.Unlock()
	if background == nil {
		return nil
	}
	<-background
	return m.failed
}

// addresses finds out the pod's address, which its status and environment need.
func (m *monitor) addresses() error {
	machine := machineAddress(m.record.LinkPrefix)
	m.pod.Status.HostIP, m.pod.Status.HostIPs = machine, []v1.HostIP{{IP: machine}}
	m.pod.Spec.NodeName = machineName()
	ip := machine
	if !m.pod.Spec.HostNetwork {
		var err error
		if m.address, err = m.host.Allocate(m.uid()); err != nil {
			return fmt.Errorf("allocate an address: %w", err)
		}
		ip = m.address.String()
	}
	m.pod.Status.PodIP, m.pod.Status.PodIPs = ip, []v1.PodIP{{IP: ip}}
	return nil
}

func (m *monitor) connect() error {
	ports := hostPorts(&m.pod.Spec)
	if m.pod.Spec.HostNetwork {
		return m.checkFree(ports)
	}
	if err := m.reserve(ports); err != nil {
		return err
	}
	return m.host.Attach(netns.Attachment{
		UID: m.uid(), NetNS: sandbox.NamespacePath(m.pauseID, "net"), Addr: m.address, Ports: ports,
	})
}

// setSysctls comes after connect, which has defaults for some.
func (m *monitor) setSysctls() error {
	if sc := m.pod.Spec.SecurityContext; sc != nil && len(sc.Sysctls) > 0 {
		return sandbox.SetSysctls(m.pauseID, sc.Sysctls)
	}
	return nil
}

// checkFree refuses a pod of the machine's network whose ports somebody else
// has, before it starts: its own processes will bind them.
func (m *monitor) checkFree(ports []netns.Port) error {
	if m.readStatus().EverStarted {
		return nil
	}
	sockets, err := netns.Reserve(ports)
	for _, s := range sockets {
		s.Close()
	}
	return err
}

// reserve binds the host ports and gives the sockets to pause, once.
func (m *monitor) reserve(ports []netns.Port) error {
	if len(ports) == 0 {
		return nil
	}
	kept, err := m.pause.Names()
	if err != nil {
		return err
	}
	held := map[string]bool{}
	for _, name := range kept {
		held[name] = true
	}
	var missing []netns.Port
	for _, p := range ports {
		if !held["port/"+p.String()] {
			missing = append(missing, p)
		}
	}
	sockets, err := netns.Reserve(missing)
	if err != nil {
		return err
	}
	var errs []error
	for i, s := range sockets {
		errs = append(errs, m.pause.Keep("port/"+missing[i].String(), s), s.Close())
	}
	return errors.Join(errs...)
}

// hostPorts are the pod's ports on the machine. Init containers that are no
// sidecars have none that the API would open.
func hostPorts(spec *v1.PodSpec) []netns.Port {
	var ports []netns.Port
	serving := slices.DeleteFunc(slices.Clone(spec.InitContainers), func(c v1.Container) bool { return !pod.IsSidecar(&c) })
	for _, c := range append(serving, spec.Containers...) {
		for _, p := range c.Ports {
			if p.HostPort == 0 {
				continue
			}
			ip, _ := netip.ParseAddr(p.HostIP) // validated; empty is every address
			ports = append(ports, netns.Port{
				HostIP: ip, HostPort: uint16(p.HostPort), ContainerPort: uint16(p.ContainerPort), Protocol: string(p.Protocol),
			})
		}
	}
	return ports
}

// machineAddress is the machine's first global address that is not on a link
// to a pod.
func machineAddress(linkPrefix string) string {
	links, err := net.Interfaces()
	if err != nil {
		return "127.0.0.1"
	}
	for _, l := range links {
		if l.Flags&net.FlagUp == 0 || l.Flags&net.FlagLoopback != 0 || strings.HasPrefix(l.Name, linkPrefix) {
			continue
		}
		addrs, err := l.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
				return p.Addr().String()
			}
		}
	}
	return "127.0.0.1"
}

// unmountBelow detaches every mount below the directories from this mount
// namespace, so that their mount points can be removed.
func unmountBelow(dirs ...string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var errs []error
	for _, line := range strings.Split(string(data), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := unescape(fields[4])
		for _, dir := range dirs {
			if strings.HasPrefix(point, dir+"/") {
				if strings.Contains(line, " shared:") {
					// Else the machine would lose what a container has mounted on its behalf.
					unix.Mount("", point, "", unix.MS_PRIVATE|unix.MS_REC, "")
				}
				if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
					errs = append(errs, &os.PathError{Op: "unmount", Path: point, Err: err})
				}
			}
		}
	}
	return errors.Join(errs...)
}

// unescape undoes the octal escapes of proc_pid_mountinfo(5).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
