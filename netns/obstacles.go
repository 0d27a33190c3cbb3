package netns

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"podrun/firewall"
)

// Obstacles are the chains of other firewalls that drop packets of pods.
func (h Host) Obstacles() ([]firewall.Obstacle, error) {
	n := firewall.Network{Links: h.prefix(), Subnets: []netip.Prefix{h.Subnet}}
	if h.Subnet6.IsValid() && HasIPv6() {
		n.Subnets = append(n.Subnets, h.Subnet6)
	}
	err := onHandle(func(handle *netlink.Handle) error {
		for _, s := range n.Subnets {
			n.Uplinks = append(n.Uplinks, uplink(handle, familyOf(s.Addr())))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return firewall.Obstacles(n)
}

// documentation are addresses that only the default route leads to (RFC 5737, RFC
// 3849). Looking for the way there sends nothing.
var documentation = map[*family]net.IP{ipv4: net.IPv4(203, 0, 113, 1), ipv6: net.ParseIP("2001:db8:ffff::1")}

// uplink is the link by which the machine reaches the outside, "" where there is none.
func uplink(handle *netlink.Handle, f *family) string {
	routes, err := handle.RouteGet(documentation[f])
	if err != nil || len(routes) == 0 || routes[0].LinkIndex <= 0 || routes[0].Type != unix.RTN_UNICAST {
		return ""
	}
	link, err := handle.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return ""
	}
	return link.Attrs().Name
}
