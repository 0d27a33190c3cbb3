package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"podrun/step"
)

// A UDP flow that was already under way keeps the mapping of its first packet
// for as long as it goes on: a client that sends all the time would never reach
// the pod that has the host port now. So when UDP ports come, flows on them that
// lead elsewhere are forgotten, and when they go, those that lead into the pod
// (kube-proxy and CNI's portmap do the same). TCP needs none of this: a new
// connection is a new flow.

// flows selects entries of the kernel's connection table.
type flows func(*netlink.ConntrackFlow) bool

// MatchConntrackFlow makes flows a filter of the netlink package.
func (f flows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	return flow.Forward.Protocol == unix.IPPROTO_UDP && f(flow)
}

func forget(family *family, f flows) error {
	defer step.Change("forget connections")()
	_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, netlink.InetFamily(family.number), f)
	// EINVAL is what a kernel without CONFIG_NF_CT_NETLINK says. An interrupted dump
	// has missed only flows that are younger than the rules.
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil
	}
	return fmt.Errorf("forget UDP flows: %w", err)
}

// forgetElsewhere ends flows on the pod's UDP host ports that do not lead to it.
func forgetElsewhere(a Attachment) error {
	ports := slices.DeleteFunc(slices.Clone(a.Ports), func(p Port) bool { return p.protocol() != "UDP" })
	if len(ports) == 0 {
		return nil
	}
	locals, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for _, f := range []*family{ipv4, ipv6} {
		if !slices.ContainsFunc(ports, func(p Port) bool { return p.family() == f }) {
			continue
		}
		err = errors.Join(err, forget(f, func(flow *netlink.ConntrackFlow) bool {
			to, _ := netip.AddrFromSlice(flow.Forward.DstIP)
			to = to.Unmap()
			if flow.Reverse.SrcIP.Equal(a.addr(f).AsSlice()) || !isLocal(to, locals) {
				return false
			}
			return slices.ContainsFunc(ports, func(p Port) bool { return p.HostPort == flow.Forward.DstPort && p.covers(to) })
		}))
	}
	return err
}

func isLocal(addr netip.Addr, locals []net.Addr) bool {
	return addr.IsLoopback() || slices.ContainsFunc(locals, func(l net.Addr) bool {
		n, ok := l.(*net.IPNet)
		return ok && n.IP.Equal(addr.AsSlice())
	})
}

// forgetInto ends UDP flows that lead into the pod.
func forgetInto(addr netip.Addr) error {
	return forget(familyOf(addr), func(flow *netlink.ConntrackFlow) bool { return flow.Reverse.SrcIP.Equal(addr.AsSlice()) })
}
