package firewall

import (
	"bytes"
	"encoding/binary"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// evaluation is one rule at work on one packet. Its registers are the kernel's:
// 64 bytes, of which some may be unknown.
type evaluation struct {
	*ruleset
	packet
	bytes  [64]byte
	known  [64]bool
	unsure bool // a match was not understood
}

func newEvaluation(r *ruleset, p packet) *evaluation { return &evaluation{ruleset: r, packet: p} }

// place is where a register begins: four of 16 bytes, or sixteen of 4 bytes.
func place(register uint32) int {
	switch {
	case register >= unix.NFT_REG32_00 && register <= unix.NFT_REG32_15:
		return int(register-unix.NFT_REG32_00) * 4
	case register >= unix.NFT_REG_1 && register <= unix.NFT_REG_4:
		return int(register-unix.NFT_REG_1) * 16
	}
	return len(evaluation{}.bytes) // no place
}

// store puts data into a register; nil is data that nobody knows.
func (e *evaluation) store(register uint32, data []byte) {
	at := place(register)
	if data == nil {
		for i := at; i < min(at+16, len(e.known)); i++ {
			e.known[i] = false
		}
		return
	}
	for i, b := range data {
		if at+i < len(e.bytes) {
			e.bytes[at+i], e.known[at+i] = b, true
		}
	}
}

func (e *evaluation) load(register uint32, size int) ([]byte, bool) {
	at := place(register)
	if at+size > len(e.bytes) {
		return nil, false
	}
	for _, known := range e.known[at : at+size] {
		if !known {
			return nil, false
		}
	}
	return e.bytes[at : at+size], true
}

// run gives the rule's verdict; nil: it does not match, or has none.
func (e *evaluation) run(exprs []expr.Any) (*expr.Verdict, error) {
	for _, x := range exprs {
		switch x := x.(type) {
		case *expr.Verdict:
			return x, nil
		case *expr.Reject:
			return &expr.Verdict{Kind: expr.VerdictDrop}, nil
		case *expr.Target:
			return target(x.Name), nil
		case *expr.Lookup:
			v, matches, err := e.lookup(x)
			if v != nil || !matches || err != nil {
				return v, err
			}
		default:
			if !e.step(x) {
				return nil, nil
			}
		}
	}
	return nil, nil
}

// target is one of iptables that nftables has no verdict for.
func target(name string) *expr.Verdict {
	switch name {
	case "REJECT":
		return &expr.Verdict{Kind: expr.VerdictDrop}
	case "LOG", "NFLOG", "MARK", "CONNMARK", "TCPMSS", "TRACE", "CLASSIFY":
		return nil // the packet goes on to the next rule
	}
	return &expr.Verdict{Kind: expr.VerdictAccept} // unknown
}

// step tells whether the rule goes on.
func (e *evaluation) step(x expr.Any) bool {
	switch x := x.(type) {
	case *expr.Meta:
		if !x.SourceRegister {
			e.store(x.Register, e.meta(x.Key))
		}
	case *expr.Payload:
		if x.OperationType == expr.PayloadLoad {
			e.store(x.DestRegister, e.payload(x))
		}
	case *expr.Ct:
		if !x.SourceRegister {
			e.store(x.Register, e.connection(x.Key))
		}
	case *expr.Immediate:
		e.store(x.Register, x.Data)
	case *expr.Bitwise:
		e.bitwise(x)
	case *expr.Cmp:
		return e.compare(x.Register, len(x.Data), func(data []byte) bool { return holds(x.Op, bytes.Compare(data, x.Data)) })
	case *expr.Range:
		return e.compare(x.Register, len(x.FromData), func(data []byte) bool {
			inside := bytes.Compare(data, x.FromData) >= 0 && bytes.Compare(data, x.ToData) <= 0
			return inside == (x.Op == expr.CmpOpEq)
		})
	case *expr.Match:
		return e.match(x)
	case *expr.Counter, *expr.Log, *expr.Notrack, *expr.Objref:
	case *expr.Fib:
		e.store(x.Register, nil)
	default:
		e.unsure = true // limits, and whatever comes
	}
	return true
}

func (e *evaluation) compare(register uint32, size int, f func([]byte) bool) bool {
	data, known := e.load(register, size)
	if !known {
		e.unsure = true
		return true
	}
	return f(data)
}

func holds(op expr.CmpOp, order int) bool {
	switch op {
	case expr.CmpOpEq:
		return order == 0
	case expr.CmpOpNeq:
		return order != 0
	case expr.CmpOpLt:
		return order < 0
	case expr.CmpOpLte:
		return order <= 0
	case expr.CmpOpGt:
		return order > 0
	}
	return order >= 0
}

func (e *evaluation) meta(key expr.MetaKey) []byte {
	switch key {
	case expr.MetaKeyIIFNAME:
		return linkName(e.in)
	case expr.MetaKeyOIFNAME:
		return linkName(e.out)
	case expr.MetaKeyL4PROTO:
		return []byte{unix.IPPROTO_TCP}
	case expr.MetaKeyNFPROTO:
		if e.from.Is4() {
			return []byte{unix.NFPROTO_IPV4}
		}
		return []byte{unix.NFPROTO_IPV6}
	case expr.MetaKeyMARK:
		return make([]byte, 4)
	}
	return nil
}

// linkName is padded to a register of its own.
func linkName(name string) []byte { return append([]byte(name), make([]byte, 16-len(name))...) }

func (e *evaluation) payload(x *expr.Payload) []byte {
	network, transport := e.header()
	header := network
	if x.Base == expr.PayloadBaseTransportHeader {
		header = transport
	}
	if x.Base == expr.PayloadBaseLLHeader || int(x.Offset+x.Len) > len(header) {
		return nil
	}
	return header[x.Offset : x.Offset+x.Len]
}

func (e *evaluation) connection(key expr.CtKey) []byte {
	switch key {
	case expr.CtKeySTATE:
		return binary.NativeEndian.AppendUint32(nil, e.state)
	case expr.CtKeySTATUS:
		return binary.NativeEndian.AppendUint32(nil, e.status)
	}
	return nil
}

func (e *evaluation) bitwise(x *expr.Bitwise) {
	data, known := e.load(x.SourceRegister, int(x.Len))
	if !known || len(x.Mask) != len(data) || len(x.Xor) != len(data) {
		e.store(x.DestRegister, nil)
		return
	}
	result := make([]byte, len(data))
	for i := range data {
		result[i] = data[i]&x.Mask[i] ^ x.Xor[i]
	}
	e.store(x.DestRegister, result)
}

// lookup tells whether the set has the key, and the verdict of a map of verdicts.
func (e *evaluation) lookup(x *expr.Lookup) (*expr.Verdict, bool, error) {
	list, err := e.elements(x.SetName)
	if err != nil {
		return nil, true, err
	}
	size := 0
	for _, el := range list {
		if size = len(el.Key); el.KeyEnd != nil {
			e.unsure = true // ranges of several parts
			return nil, true, nil
		}
	}
	key, known := e.load(x.SourceRegister, size)
	if !known {
		e.unsure = true
		return nil, true, nil
	}
	found := find(list, key)
	if (found != nil) == x.Invert {
		return nil, false, nil
	}
	if found != nil && x.IsDestRegSet {
		if found.VerdictData != nil {
			return found.VerdictData, true, nil
		}
		e.store(x.DestRegister, found.Val)
	}
	return nil, true, nil
}

// find looks for the key among sorted elements, single ones and the ends of ranges.
func find(list []nftables.SetElement, key []byte) (found *nftables.SetElement) {
	ranges := false
	for i := range list {
		ranges = ranges || list[i].IntervalEnd
	}
	for i := range list {
		order := bytes.Compare(list[i].Key, key)
		switch {
		case order > 0:
			return found
		case list[i].IntervalEnd:
			found = nil
		case order == 0 || ranges:
			found = &list[i]
		}
	}
	return found
}

// match is one of iptables. Those of ports and of the connection's state are understood.
func (e *evaluation) match(x *expr.Match) bool {
	switch info := x.Info.(type) {
	case *xt.Tcp:
		e.unsure = e.unsure || info.FlagsMask != 0
		return portsMatch(info.SrcPorts, info.DstPorts, uint8(info.InvFlags))
	case *xt.ConntrackMtinfo3:
		if info.MatchFlags == conntrackState {
			return (uint32(info.StateMask)&e.legacyState() != 0) != (info.InvertFlags&conntrackState != 0)
		}
	case *xt.Comment:
		return true
	}
	e.unsure = true
	return true
}

// Of xt_conntrack.h and xt_tcpudp.h.
const (
	conntrackState = 1 << 0
	conntrackDNAT  = 1 << 7
	invertedSource = 1 << 0
	invertedPort   = 1 << 1
)

// legacyState is the connection's as iptables counts it.
func (p packet) legacyState() uint32 {
	if p.status&statusDNAT != 0 {
		return p.state | conntrackDNAT
	}
	return p.state
}

// portsMatch holds the packet's ports against two ranges.
func portsMatch(from, to [2]uint16, inverted uint8) bool {
	within := func(port uint16, r [2]uint16) bool { return port >= r[0] && port <= r[1] }
	return within(clientPort, from) != (inverted&invertedSource != 0) && within(serverPort, to) != (inverted&invertedPort != 0)
}
