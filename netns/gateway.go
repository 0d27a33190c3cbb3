package netns

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
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

func (h Host) gatewayLink() string { return h.linkName("gateway of " + h.Instance) }

func (h Host) gatewayPeer() string { return h.linkName("far end of the gateway of " + h.Instance) }

func (h Host) ensureGateway(handle *netlink.Handle) error {
	name := h.gatewayLink()
	link, err := handle.LinkByName(name)
	if isNotFound(err) {
		link, err = h.makeGateway(handle, name)
	}
	if err != nil {
		return fmt.Errorf("make link %s: %w", name, err)
	}
	if err := handle.AddrReplace(link, &netlink.Addr{IPNet: single(Gateway)}); err != nil {
		return fmt.Errorf("add address %v to link %s: %w", Gateway, name, err)
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
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.HardwareAddr, _ = macs(name)
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: h.gatewayPeer()}
	if err := handle.LinkAdd(pair); err != nil {
		return nil, err
	}
	return pair, sysctl{key: "ipv6/conf/" + name + "/disable_ipv6", value: "1", optional: true}.write()
}
