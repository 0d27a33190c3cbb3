package netns

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"podrun/step"
)

// Gateway has to be an address of the machine, but it is neither on the host
// ends nor on the loopback. Towards a link without addresses the kernel takes the
// first global address of any link as the source, in the order in which links
// were made (inet_select_addr). On a link of its own, younger than the machine's
// network cards, Gateway comes last: pods see the machine's usual address, which
// is also the one that unconnected UDP servers must answer from; and when the
// machine has none (a laptop that lost its network) probes still have a source.
//
// A veth pair serves as that link, whose far end stays down: kernels without
// CONFIG_DUMMY exist, such as small ones for virtual machines, and the removal of
// a bridge or a tunnel takes twice as long. It comes and goes with the table.
//
// For IPv6 the kernel compares the addresses themselves (RFC 6724). A deprecated
// one comes last there.

func (h Host) gatewayLink() string { return h.linkName("gateway of " + h.Instance) }

func (h Host) gatewayPeer() string { return h.linkName("far end of the gateway of " + h.Instance) }

// ensureGateway gives the link, made where it is missing, the address.
func (h Host) ensureGateway(handle *netlink.Handle, addr netip.Addr) error {
	name := h.gatewayLink()
	link, err := handle.LinkByName(name)
	if isNotFound(err) {
		link, err = h.makeGateway(handle, name)
	}
	if err != nil {
		return fmt.Errorf("make link %s: %w", name, err)
	}
	own := &netlink.Addr{IPNet: single(addr)}
	if addr.Is6() {
		own.Flags, own.ValidLft = unix.IFA_F_NODAD, math.MaxUint32 // a PreferedLft of 0: deprecated
	}
	defer step.Change("set up gateway")()
	err = handle.AddrReplace(link, own)
	if addr.Is6() && errors.Is(err, unix.EACCES) { // made for IPv4 a moment ago, or for pods without IPv6
		if err := writeSysctls(enableIPv6(name)); err != nil {
			return err
		}
		err = handle.AddrReplace(link, own)
	}
	if err != nil {
		return fmt.Errorf("add address %v to link %s: %w", addr, name, err)
	}
	if link.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	if err := handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up link %s: %w", name, err)
	}
	return nil
}

func (h Host) makeGateway(handle *netlink.Handle, name string) (netlink.Link, error) {
	defer step.Change("make gateway")()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.HardwareAddr, _ = macs(name)
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: h.gatewayPeer()}
	if err := handle.LinkAdd(pair); err != nil {
		return nil, err
	}
	return pair, disableIPv6(name).write()
}
