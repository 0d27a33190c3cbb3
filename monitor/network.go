package monitor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"podrun/netns"
	"podrun/pod"
)

// podAddresses are the pod's own; none with hostNetwork, v4 alone where the machine
// or its administrator has no IPv6.
type podAddresses struct{ v4, v6 netip.Addr }

func (a podAddresses) list() []netip.Addr {
	var list []netip.Addr
	for _, addr := range []netip.Addr{a.v4, a.v6} {
		if addr.IsValid() {
			list = append(list, addr)
		}
	}
	return list
}

// addresses finds out the pod's addresses, which its status and environment need.
func (m *monitor) addresses() error {
	machine := machineAddresses(m.record.LinkPrefix)
	addrs := machine
	if !m.pod.Spec.HostNetwork {
		m.keepAddress()
		var err error
		if m.address.v4, err = m.host.Allocate(m.uid()); err != nil {
			return fmt.Errorf("allocate an address: %w", err)
		}
		if m.host.Subnet6.IsValid() && netns.HasIPv6() {
			m.address.v6 = m.host.Address6(m.address.v4)
		}
		addrs = m.address.list()
	}
	p := m.pod
	if m.resumed { // others read it by now
		p = m.current().DeepCopy()
	}
	st := &p.Status
	st.HostIPs, st.PodIPs = nil, nil
	for _, a := range machine {
		st.HostIPs = append(st.HostIPs, v1.HostIP{IP: a.String()})
	}
	for _, a := range addrs {
		st.PodIPs = append(st.PodIPs, v1.PodIP{IP: a.String()})
	}
	st.HostIP, st.PodIP = st.HostIPs[0].IP, st.PodIPs[0].IP
	p.Spec.NodeName = machineName()
	if m.resumed {
		m.changed.Store(p)
	}
	return nil
}

// keepAddress claims the address again that the pod's sandbox has, if somebody has
// removed the claim while there was no monitor: Allocate would give it another.
func (m *monitor) keepAddress() {
	last := m.checkpoint.last()
	addr, err := netip.ParseAddr(last.Status.PodIP)
	if err != nil || last.Sandbox == "" || last.Sandbox != m.sandboxID() || !m.host.Subnet.Contains(addr) {
		return
	}
	if _, err := m.host.Reclaim(m.uid(), addr); err != nil {
		fmt.Fprintf(os.Stderr, "podrun: %v\n", err) // the pod gets another
	}
}

func (m *monitor) connect() error {
	ports := hostPorts(&m.pod.Spec, m.address.v6.IsValid() || m.pod.Spec.HostNetwork && netns.HasIPv6())
	if m.pod.Spec.HostNetwork {
		return m.checkFree(ports)
	}
	if err := m.reserve(ports); err != nil {
		return err
	}
	a, err := m.attachment()
	if err != nil {
		return err
	}
	return errors.Join(m.host.Attach(a), m.relay(a))
}

// relay reads the reserved sockets that have to be read, unless it does so already.
func (m *monitor) relay(a netns.Attachment) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range a.Ports {
		if !p.Relayed() || m.relays[p] != nil || shadowed(p, a.Ports) {
			continue
		}
		socket, err := m.pause.Take(keptPort(p))
		if err != nil {
			return err
		}
		r, err := m.host.Relay(socket, a, p)
		socket.Close()
		if err != nil {
			return err
		}
		m.relays[p] = r
	}
	return nil
}

// stopRelays lets go of the host ports, for the end of the pod or its next sandbox.
func (m *monitor) stopRelays() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, r := range m.relays {
		r.Close()
		delete(m.relays, p)
	}
}

// keptPort is the name by which pause keeps a port's reservation.
func keptPort(p netns.Port) string { return "port/" + p.String() }

// checkFree refuses a pod of the machine's network whose ports somebody else
// has, before it starts: its own processes will bind them.
func (m *monitor) checkFree(ports []netns.Port) error {
	if m.checkpoint.last().EverStarted {
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
		if !held[keptPort(p)] && !shadowed(p, ports) {
			missing = append(missing, p)
		}
	}
	sockets, err := netns.Reserve(missing)
	if err != nil {
		return err
	}
	var errs []error
	for i, s := range sockets {
		errs = append(errs, m.pause.Keep(keptPort(missing[i]), s), s.Close())
	}
	return errors.Join(errs...)
}

// shadowed tells whether the same pod has the port on all addresses as well. The
// rules tell the two apart; only one socket can be bound.
func shadowed(p netns.Port, ports []netns.Port) bool {
	return slices.ContainsFunc(ports, func(q netns.Port) bool {
		return q.HostIP.IsUnspecified() && q.HostIP != p.HostIP && q.HostIP.Is4() == p.HostIP.Is4() &&
			q.HostPort == p.HostPort && q.Protocol == p.Protocol
	})
}

// hostPorts are the pod's ports on the machine, one for each family. Init
// containers that are no sidecars have none that the API would open.
func hostPorts(spec *v1.PodSpec, ipv6 bool) []netns.Port {
	var ports []netns.Port
	serving := slices.DeleteFunc(slices.Clone(spec.InitContainers), func(c v1.Container) bool { return !pod.IsSidecar(&c) })
	for _, c := range append(serving, spec.Containers...) {
		for _, p := range c.Ports {
			if p.HostPort == 0 {
				continue
			}
			for _, ip := range hostIPs(p.HostIP, ipv6) {
				ports = append(ports, netns.Port{
					HostIP: ip, HostPort: uint16(p.HostPort), ContainerPort: uint16(p.ContainerPort), Protocol: string(p.Protocol),
				})
			}
		}
	}
	return ports
}

// hostIPs are the addresses of a port's hostIP, which is validated. An empty one
// is every address of every family.
func hostIPs(text string, ipv6 bool) []netip.Addr {
	if ip, err := netip.ParseAddr(text); err == nil {
		return []netip.Addr{ip}
	}
	if ipv6 {
		return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	return []netip.Addr{netip.IPv4Unspecified()}
}

// machineAddresses are the machine's first global address of each family that is
// not on a link to a pod. There is always one of IPv4, the loopback's if need be.
func machineAddresses(linkPrefix string) []netip.Addr {
	v4, v6 := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.Addr{}
	links, err := net.Interfaces()
	if err != nil {
		return []netip.Addr{v4}
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
			p, err := netip.ParsePrefix(a.String())
			switch {
			case err != nil || !p.Addr().IsGlobalUnicast():
			case p.Addr().Is4() && v4.IsLoopback():
				v4 = p.Addr()
			case p.Addr().Is6() && !v6.IsValid():
				v6 = p.Addr()
			}
		}
	}
	return podAddresses{v4, v6}.list()
}
