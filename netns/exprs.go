package netns

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

type exprs []expr.Any

// register numbers the kernel's 4-byte registers; a key of several parts lies in
// consecutive ones.
func register(n uint32) uint32 { return unix.NFT_REG32_00 + n }

// field is a part of the packet.
type field struct {
	base        expr.PayloadBase
	offset, len uint32
}

// dport is that of TCP, UDP and SCTP alike.
var dport = field{expr.PayloadBaseTransportHeader, 2, 2}

// family is what tells the rules of IPv4 from those of IPv6.
type family struct {
	table        nftables.TableFamily
	number       uint32 // NFPROTO_*
	addr         nftables.SetDatatype
	saddr, daddr field
	words        uint32         // registers that an address takes
	rules        map[string]int // how many layOut writes, by chain
}

var (
	ipv4 = &family{
		nftables.TableFamilyIPv4, unix.NFPROTO_IPV4, nftables.TypeIPAddr,
		field{expr.PayloadBaseNetworkHeader, 12, 4}, field{expr.PayloadBaseNetworkHeader, 16, 4}, 1,
		map[string]int{"guard": 2, "prerouting": 1, "output": 1, "hostports": 2, "postrouting": 3},
	}
	ipv6 = &family{
		nftables.TableFamilyIPv6, unix.NFPROTO_IPV6, nftables.TypeIP6Addr,
		field{expr.PayloadBaseNetworkHeader, 8, 16}, field{expr.PayloadBaseNetworkHeader, 24, 16}, 4,
		map[string]int{"guard": 1, "prerouting": 1, "output": 1, "hostports": 2, "postrouting": 2},
	}
)

func familyOf(a netip.Addr) *family {
	if a.Is4() {
		return ipv4
	}
	return ipv6
}

func load(f field, into uint32) expr.Any {
	return &expr.Payload{DestRegister: register(into), Base: f.base, Offset: f.offset, Len: f.len}
}

func protocol(into uint32) expr.Any {
	return &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register(into)}
}

func compare(op expr.CmpOp, data ...byte) expr.Any {
	return &expr.Cmp{Op: op, Register: register(0), Data: data}
}

// named matches links by the beginning of their name: shorter than the register
// and without a terminating zero, it is what nft writes as "podrun*".
func named(key expr.MetaKey, op expr.CmpOp, prefix []byte) exprs {
	return exprs{&expr.Meta{Key: key, Register: register(0)}, compare(op, prefix...)}
}

// loopback matches 127.0.0.0/8 by its first byte.
func loopback(f field) exprs {
	f.len = 1
	return exprs{load(f, 0), compare(expr.CmpOpEq, 127)}
}

func in(s *nftables.Set) exprs {
	return exprs{&expr.Lookup{SourceRegister: register(0), SetName: s.Name, SetID: s.ID}}
}

// notTo matches what does not go to the address.
func notTo(f field, a netip.Addr) exprs {
	return exprs{load(f, 0), compare(expr.CmpOpNeq, a.AsSlice()...)}
}

func (r *rules) snatToGateway() exprs {
	return exprs{
		&expr.Immediate{Register: register(0), Data: r.gateway.AsSlice()},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: r.number, RegAddrMin: register(0)},
	}
}

// dnat looks the key up in the map, whose value is address and port side by side.
func (r *rules) dnat(m *nftables.Set) exprs {
	return exprs{
		&expr.Lookup{SourceRegister: register(0), DestRegister: register(0), IsDestRegSet: true, SetName: m.Name, SetID: m.ID},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: r.number, RegAddrMin: register(0), RegProtoMin: register(r.words)},
	}
}

var (
	drop = exprs{&expr.Verdict{Kind: expr.VerdictDrop}}

	// notRoutedBack matches when the route to the packet's source does not lead out
	// of the link that it came by.
	notRoutedBack = exprs{
		&expr.Fib{Register: unix.NFT_REG32_00, ResultOIF: true, FlagSADDR: true, FlagIIF: true},
		compare(expr.CmpOpEq, 0, 0, 0, 0),
	}
	toLocalAddress = exprs{
		&expr.Fib{Register: unix.NFT_REG32_00, ResultADDRTYPE: true, FlagDADDR: true},
		compare(expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)...),
	}
)
