package firewall

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// packet is one whose way through a chain is asked for.
type packet struct {
	name     string // of its kind, as a person calls it
	in, out  string // links
	from, to netip.Addr
	state    uint32 // of its connection: one of the bits below
	status   uint32
}

// Bits of a connection's state and status (NF_CT_STATE_BIT, IPS_DST_NAT).
const (
	stateEstablished = 1 << 1
	stateRelated     = 1 << 2
	stateNew         = 1 << 3
	statusDNAT       = 1 << 5
)

// An outside host (RFC 5737, RFC 3849), and the ports of every packet.
var (
	outside4 = netip.MustParseAddr("203.0.113.1")
	outside6 = netip.MustParseAddr("2001:db8::1")
)

const (
	clientPort = 40000
	serverPort = 8080
)

// packets are what a pod's network is made of, in one family.
func (n Network) packets(family int) []packet {
	first := n.Subnets[family].Masked().Addr().Next().Next()
	second := first.Next()
	outside, uplink := outside4, n.Uplinks[family]
	if first.Is6() {
		outside = outside6
	}
	one, other := n.Links+"one", n.Links+"two"
	list := []packet{{name: "traffic between pods", in: one, out: other, from: first, to: second, state: stateNew}}
	if uplink == "" {
		return list
	}
	return append(list,
		packet{name: "what pods send to other machines", in: one, out: uplink, from: first, to: outside, state: stateNew},
		packet{name: "the answers to pods", in: uplink, out: one, from: outside, to: first, state: stateEstablished},
		packet{name: "what other machines send to host ports", in: uplink, out: one, from: outside, to: first, state: stateNew, status: statusDNAT},
	)
}

// header is the network header, as far as rules look at it, and the ports behind it.
func (p packet) header() (network, transport []byte) {
	transport = binary.BigEndian.AppendUint16(nil, clientPort)
	transport = binary.BigEndian.AppendUint16(transport, serverPort)
	if p.from.Is4() {
		network = make([]byte, 20)
		network[0], network[9] = 4<<4|5, unix.IPPROTO_TCP
		copy(network[12:], p.from.AsSlice())
		copy(network[16:], p.to.AsSlice())
		return network, transport
	}
	network = make([]byte, 40)
	network[0], network[6] = 6<<4, unix.IPPROTO_TCP
	copy(network[8:], p.from.AsSlice())
	copy(network[24:], p.to.AsSlice())
	return network, transport
}
