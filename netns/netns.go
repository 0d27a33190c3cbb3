// Package netns connects a pod's network namespace to its machine: the pod's
// addresses, the veth pair, its routes and its bandwidth, the firewall rules for
// the outside and for host ports, and the relay of what rules cannot lead into a
// pod. It is also the only package that switches network namespaces; others hand it
// a closure.
//
// It takes an id and plain values. Making and keeping the namespace belongs to
// package sandbox, keeping the reserved sockets open to the pod's pause process,
// what other firewalls do to package firewall. A pod on the host's network needs
// nothing of it but a look at its ports.
//
// # The shape
//
// The host's end of the veth is a router port and not a bridge port, so it does
// not matter what br_netfilter does with bridged packets:
//
//	pod namespace                          host
//	eth0  10.244.0.2/32  ───── veth ─────  podrunx7f3…  no address
//	default via 169.254.1.1                10.244.0.2 dev podrunx7f3… scope link
//	                                       podrung6wy…  169.254.1.1/32, one an instance
//
// Both neighbour entries are permanent: there is no ARP on the link, hence
// nothing to wait for and nothing to spoof.
//
// IPv6 goes the same way: a /128 from a range of unique local addresses
// (RFC 4193), and a gateway that is the first address of that range. Link-local
// addresses play no part: the host end has none, and takes no router
// advertisements (CVE-2020-10749). Where the machine has no IPv6, or Host no range
// for it, IPv6 is switched off on the host end, so that a pod cannot reach the
// machine past the rules.
package netns

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Gateway is the address by which every pod reaches its machine. It is also the
// source address that a pod sees on connections from the machine's loopback, on
// those that it makes to its own host ports, and on all from a machine that has
// no other address.
var Gateway = netip.AddrFrom4([4]byte{169, 254, 1, 1})

const (
	podLink           = "eth0"
	defaultLinkPrefix = "podrun"
	maxLinkName       = 15 // IFNAMSIZ without the terminating zero
	minLinkHash       = 6  // 30 bits still tell the pods of one machine apart
)

// Host is the machine's side of all pods of one instance.
type Host struct {
	Instance   string       // names the firewall table
	Subnet     netip.Prefix // pods get their addresses from it; IPv4, /30 or larger
	Subnet6    netip.Prefix // of their IPv6 addresses, /96 or larger; zero: they have none
	LinkPrefix string       // of host-side links; empty means "podrun"; at most 9 bytes
	Addresses  string       // directory of the claimed addresses; made when absent
}

// Port leads a port of the machine to one of the pod.
type Port struct {
	HostIP        netip.Addr // zero or 0.0.0.0: all IPv4 addresses of the machine; ::, all IPv6 ones
	HostPort      uint16     // never 0
	ContainerPort uint16
	Protocol      string // TCP, UDP or SCTP; empty means TCP
}

// String is the port as a person would write it, such as 127.0.0.1:8080/TCP.
func (p Port) String() string {
	s := fmt.Sprintf("%d/%s", p.HostPort, p.protocol())
	switch {
	case p.family() == ipv6:
		return "[" + p.HostIP.String() + "]:" + s
	case p.everywhere():
		return s
	}
	return p.HostIP.String() + ":" + s
}

func (p Port) family() *family {
	if !p.HostIP.IsValid() {
		return ipv4
	}
	return familyOf(p.HostIP)
}

func (p Port) protocol() string {
	if p.Protocol == "" {
		return "TCP"
	}
	return p.Protocol
}

func (p Port) everywhere() bool { return !p.HostIP.IsValid() || p.HostIP.IsUnspecified() }

func (p Port) check() error {
	switch {
	case p.HostPort == 0:
		return fmt.Errorf("host port 0 for container port %d: a port between 1 and 65535 is needed", p.ContainerPort)
	case p.number() == 0:
		return fmt.Errorf("host port %v: the protocol must be TCP, UDP or SCTP", p)
	case p.HostIP.Is4In6():
		return fmt.Errorf("host port %v: write the address as %v", p, p.HostIP.Unmap())
	}
	return nil
}

// Attachment is one pod as [Host.Attach] connects it.
type Attachment struct {
	UID   string
	NetNS string     // path of the pod's network namespace, such as /proc/123/ns/net
	Addr  netip.Addr // from Allocate
	Addr6 netip.Addr // of Address6; zero: the pod has none
	Ports []Port

	Bandwidth Bandwidth
}

// addr is the pod's address of the family; zero where it has none.
func (a Attachment) addr(f *family) netip.Addr {
	if f == ipv6 {
		return a.Addr6
	}
	return a.Addr
}

func (h Host) check(a Attachment) error {
	if err := checkUID(a.UID); err != nil {
		return err
	}
	if !a.Addr.Is4() {
		return fmt.Errorf("pod address %v: an IPv4 address is needed", a.Addr)
	}
	if a.Addr6.IsValid() && (!a.Addr6.Is6() || !h.Subnet6.Contains(a.Addr6)) {
		return fmt.Errorf("pod address %v: want one of the range %v", a.Addr6, h.Subnet6)
	}
	for _, p := range a.Ports {
		if err := p.check(); err != nil {
			return err
		}
		if p.ContainerPort == 0 {
			return fmt.Errorf("host port %v: the container port is missing", p)
		}
		if !a.addr(p.family()).IsValid() {
			return fmt.Errorf("host port %v: the pod has no IPv6 address", p)
		}
	}
	return h.CheckLinkPrefix()
}

func (h Host) prefix() string {
	if h.LinkPrefix == "" {
		return defaultLinkPrefix
	}
	return h.LinkPrefix
}

// CheckLinkPrefix complains of a prefix from which no link name can be made.
func (h Host) CheckLinkPrefix() error {
	p := h.prefix()
	foreign := strings.ContainsFunc(p, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
	if foreign || len(p) > maxLinkName-minLinkHash || p[0] == '-' {
		return fmt.Errorf("link prefix %q: at most %d letters, digits, - and _", p, maxLinkName-minLinkHash)
	}
	return nil
}

// checkUID keeps names of files and of firewall comments harmless.
func checkUID(uid string) error {
	bad := uid == "" || len(uid) > 64 || strings.HasPrefix(uid, ".") || strings.ContainsFunc(uid, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '/' || r == '"'
	})
	if _, err := netip.ParseAddr(uid); bad || err == nil {
		return fmt.Errorf("pod uid %q cannot name a file", uid)
	}
	return nil
}

// linkName is the host end's name, found again from the uid alone.
func (h Host) linkName(uid string) string {
	sum := sha256.Sum256([]byte(uid))
	hash := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
	return h.prefix() + hash[:maxLinkName-len(h.prefix())]
}

// macs are the addresses of the host's and the pod's end. They follow from the
// uid, so that the permanent neighbour entries of a half-made attachment stay
// right; and a link that is given its address at birth is left alone by udev's
// MACAddressPolicy, which else changes it a moment later.
func macs(uid string) (host, pod net.HardwareAddr) {
	sum := sha256.Sum256([]byte(uid))
	host, pod = net.HardwareAddr(sum[16:22]), net.HardwareAddr(sum[22:28])
	for _, m := range []net.HardwareAddr{host, pod} {
		m[0] = m[0]&^1 | 2 // unicast, locally administered
	}
	return host, pod
}
