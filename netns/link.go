package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"podrun/step"
)

const (
	defaultMTU  = 1500
	minMTU6     = 1280 // RFC 8200
	carrierPoll = 100 * time.Microsecond
	carrierWait = 200 * time.Millisecond
)

// link is the pod's veth pair as it ought to be.
type link struct {
	name            string // of the host end
	hostMAC, podMAC net.HardwareAddr
	ways            []way
	ports           bool // the pod has host ports
	bandwidth       Bandwidth
	target          *os.File // the pod's namespace
	host            *netlink.Handle
	mend            bool // of a pod that runs
	anew            bool // the pair was made, not found
}

// way is how packets of one family go.
type way struct{ addr, gateway netip.Addr }

func (l *link) hasIPv6() bool { return len(l.ways) > 1 }

// connect makes the link or completes what there is of it: each step accepts
// its own result.
func (l *link) connect() error {
	index, err := l.ensurePair()
	if err != nil {
		return err
	}
	if err := writeSysctls(hostSysctls(l.name, l.ports, l.hasIPv6())); err != nil {
		return err
	}
	if err := l.setUpHost(index); err != nil {
		return fmt.Errorf("set up link %s: %w", l.name, err)
	}
	if l.mend && !l.anew {
		return l.awaitCarrier(index)
	}
	err = inside(l.target, func() error {
		if err := writeSysctls(podSysctls(l.hasIPv6())); err != nil {
			return err
		}
		if err := l.setUpPod(); err != nil {
			return fmt.Errorf("set up %s in the pod: %w", podLink, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.awaitCarrier(index)
}

// awaitCarrier waits until the kernel has noticed, on a worker of its own, that
// the host end has a carrier: until then it drops what the host sends, and the
// pod would wait a second for the answer to its first packet. The pod's end needs
// no wait, because its carrier is there when it is brought up.
func (l *link) awaitCarrier(index int) error {
	for deadline := time.Now().Add(carrierWait); time.Now().Before(deadline); time.Sleep(carrierPoll) {
		host, err := l.host.LinkByIndex(index)
		if err != nil {
			return fmt.Errorf("look up link %s: %w", l.name, err)
		}
		if host.Attrs().OperState == netlink.OperUp {
			return nil
		}
	}
	return nil // a busy machine: it comes up in its own time
}

// ensurePair returns the index of the host end. A host end whose other end is
// not in the pod's namespace belongs to an earlier namespace of the same pod,
// and is replaced.
func (l *link) ensurePair() (int, error) {
	existing, err := l.host.LinkByName(l.name)
	if err == nil {
		index := existing.Attrs().Index
		if l.leadsTo(index) {
			return index, nil
		}
		if err := deleteLink(l.host, l.name); err != nil {
			return 0, err
		}
	} else if !isNotFound(err) {
		return 0, fmt.Errorf("look up link %s: %w", l.name, err)
	}
	// One call makes both ends, each in its own namespace and with its own
	// address: no link appears on the host under another name, not even briefly.
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = l.name, l.hostMAC, l.mtu()
	pair := netlink.NewVeth(attrs)
	pair.PeerName, pair.PeerHardwareAddr = podLink, l.podMAC
	pair.PeerNamespace = netlink.NsFd(int(l.target.Fd()))
	defer step.Change("make link")()
	if err := l.host.LinkAdd(pair); err != nil {
		return 0, fmt.Errorf("make link %s: %w", l.name, err)
	}
	l.anew = true
	return pair.Attrs().Index, nil
}

// leadsTo reports whether the pod's link is the other end of the host's link.
func (l *link) leadsTo(index int) bool {
	err := inside(l.target, func() error {
		peer, err := netlink.LinkByName(podLink)
		if err == nil && peer.Attrs().ParentIndex != index {
			err = errors.New("another link")
		}
		return err
	})
	return err == nil
}

func (l *link) mtu() int {
	if l.hasIPv6() { // on a link with less there is no IPv6
		return max(l.uplinkMTU(), minMTU6)
	}
	return l.uplinkMTU()
}

// uplinkMTU is that of the link by which the machine reaches the outside. The lookup
// sends nothing; 203.0.113.0/24 is reserved for documentation (RFC 5737), so it
// finds the default route, through policy rules if there are any.
func (l *link) uplinkMTU() int {
	routes, err := l.host.RouteGet(net.IPv4(203, 0, 113, 1))
	if err != nil || len(routes) == 0 || routes[0].LinkIndex <= 0 {
		return defaultMTU
	}
	out, err := l.host.LinkByIndex(routes[0].LinkIndex)
	if err != nil || out.Attrs().Flags&net.FlagLoopback != 0 || out.Attrs().MTU < 576 {
		return defaultMTU
	}
	return out.Attrs().MTU
}

func (l *link) setUpHost(index int) error {
	defer step.Change("set up link")()
	h := l.host
	if err := h.LinkSetUp(byIndex(index)); err != nil {
		return fmt.Errorf("bring up: %w", err)
	}
	if err := limit(h, index, l.bandwidth.Ingress); err != nil {
		return err
	}
	for _, w := range l.ways {
		if err := h.NeighSet(permanent(index, w.addr, l.podMAC)); err != nil {
			return fmt.Errorf("add neighbour %v: %w", w.addr, err)
		}
		route := &netlink.Route{LinkIndex: index, Scope: scopeOf(w.addr), Dst: single(w.addr)}
		err := h.RouteAdd(route)
		if errors.Is(err, unix.EEXIST) {
			err = l.checkRoute(index, w.addr)
		}
		if err != nil {
			return fmt.Errorf("add route to %v: %w", w.addr, err)
		}
	}
	return nil
}

// scopeOf a route to a neighbour. IPv6 has no such scopes.
func scopeOf(a netip.Addr) netlink.Scope {
	if a.Is6() {
		return netlink.SCOPE_UNIVERSE
	}
	return netlink.SCOPE_LINK
}

// checkRoute tells our own route from that of somebody else who uses the same
// address: replacing it would cut off another pod.
func (l *link) checkRoute(index int, to netip.Addr) error {
	filter := &netlink.Route{Dst: single(to)}
	routes, err := l.host.RouteListFiltered(int(familyOf(to).number), filter, netlink.RT_FILTER_DST)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		if r.LinkIndex == index {
			return nil
		}
	}
	return errors.New("another link has it; is the pod subnet used by something else?")
}

// setUpPod runs inside the pod's namespace.
func (l *link) setUpPod() error {
	defer step.Change("set up link in the pod")()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink socket: %w", err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("look up lo: %w", err)
	}
	if err := h.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	eth, err := h.LinkByName(podLink)
	if err != nil {
		return fmt.Errorf("look up %s: %w", podLink, err)
	}
	index := eth.Attrs().Index
	if err := limit(h, index, l.bandwidth.Egress); err != nil {
		return err
	}
	for _, w := range l.ways {
		own := &netlink.Addr{IPNet: single(w.addr)}
		if w.addr.Is6() {
			own.Flags = unix.IFA_F_NODAD
		}
		if err := h.AddrReplace(eth, own); err != nil {
			return fmt.Errorf("add address %v: %w", w.addr, err)
		}
	}
	if err := h.LinkSetUp(eth); err != nil {
		return fmt.Errorf("bring up: %w", err)
	}
	for _, w := range l.ways {
		if err := l.addGateway(h, index, w.gateway); err != nil {
			return err
		}
	}
	return l.awaitAddress(h)
}

// awaitAddress waits until the pod takes packets to its IPv6 address: without a
// search for duplicates too, the kernel makes the address a local one on a worker
// of its own (addrconf_dad_work).
func (l *link) awaitAddress(h *netlink.Handle) error {
	if !l.hasIPv6() {
		return nil
	}
	addr := l.ways[1].addr
	for deadline := time.Now().Add(carrierWait); time.Now().Before(deadline); time.Sleep(carrierPoll) {
		routes, err := h.RouteGet(addr.AsSlice())
		if err != nil {
			return fmt.Errorf("look up the route to %v: %w", addr, err)
		}
		if len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
	}
	return nil // a busy machine: the address comes in its own time
}

func (l *link) addGateway(h *netlink.Handle, index int, gateway netip.Addr) error {
	if err := h.NeighSet(permanent(index, gateway, l.hostMAC)); err != nil {
		return fmt.Errorf("add neighbour %v: %w", gateway, err)
	}
	// Two routes rather than one with "onlink": programs that copy the routes of a
	// namespace (VPNs, sandboxed runtimes) know this form.
	for _, r := range []*netlink.Route{
		{LinkIndex: index, Scope: scopeOf(gateway), Dst: single(gateway)},
		{LinkIndex: index, Gw: gateway.AsSlice()},
	} {
		if err := h.RouteReplace(r); err != nil {
			return fmt.Errorf("add route %v: %w", r, err)
		}
	}
	return nil
}

// deleteLink removes a link with its routes and neighbours; one that is gone is fine.
func deleteLink(h *netlink.Handle, name string) error {
	defer step.Change("delete link")()
	found, err := h.LinkByName(name)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up link %s: %w", name, err)
	}
	if err := h.LinkDel(found); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove link %s: %w", name, err)
	}
	return nil
}

func isNotFound(err error) bool { return errors.As(err, new(netlink.LinkNotFoundError)) }

func byIndex(index int) netlink.Link {
	return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

func single(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

func permanent(index int, a netip.Addr, mac net.HardwareAddr) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: mac}
}
