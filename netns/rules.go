package netns

import (
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// The rules are the same whatever pods there are; pods are elements of the sets
// and maps that the rules look into, each with the pod's uid as its comment. So
// a pod comes and goes with a few elements, and what belongs to it is found by
// its uid. As nft prints it:
//
//	table ip podrun-<instance> {
//		set pods       { type ipv4_addr }
//		set hairpin    { type ipv4_addr . ipv4_addr }
//		map ports      { type inet_proto . inet_service : ipv4_addr . inet_service }
//		map ports_at   { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
//		chain guard {
//			type filter hook prerouting priority raw
//			iifname "podrun*" ip daddr 127.0.0.0/8 drop
//			iifname "podrun*" fib saddr . iif oif missing drop
//		}
//		chain prerouting  { type nat hook prerouting priority dstnat;  fib daddr type local jump hostports }
//		chain output      { type nat hook output priority dstnat;      fib daddr type local jump hostports }
//		chain hostports {
//			dnat to ip daddr . meta l4proto . th dport map @ports_at
//			dnat to meta l4proto . th dport map @ports
//		}
//		chain postrouting {
//			type nat hook postrouting priority srcnat
//			oifname "podrun*" ip saddr 127.0.0.0/8 snat to 169.254.1.1
//			ip saddr . ip daddr @hairpin snat to 169.254.1.1
//			ip saddr @pods oifname != "podrun*" masquerade fully-random
//		}
//	}
//
// guard drops what a pod sends to the loopback (the links of pods with host
// ports have route_localnet set: CVE-2020-8558), and what it sends from an
// address that is not routed to its own link. It looks at links and routes, not
// at the set of pods, so that two instances whose links have the same prefix do
// not drop each other's packets.
//
// A client's address reaches the pod unchanged, except where no answer would
// come back: from the loopback, and from the pod itself through its own host
// port (hairpin holds <pod> . <pod>). Traffic between pods, of any instance with
// this prefix, keeps its addresses; all else that pods send is masqueraded, with
// random ports, because pods that ask one resolver from the same port at once
// would otherwise race for the mapping.
type rules struct {
	conn  *nftables.Conn
	table *nftables.Table
	links []byte // beginning of our links' names
	guard *nftables.Chain

	pods, hairpin, ports, portsAt *nftables.Set
}

// layout is the comment on every rule. Raise its number with every change of the
// rules: Attach replaces those of another layout, and leaves equal ones alone,
// because removing a rule makes the kernel wait for RCU (10 ms).
const layout = "podrun rules 1"

func (r *rules) comment() string { return layout + " for " + string(r.links) + "*" }

func tableName(instance string) string { return "podrun-" + instance }

func (h Host) rules() (*rules, error) {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, err
	}
	r := &rules{conn: conn, links: []byte(h.prefix())}
	r.table = &nftables.Table{Name: tableName(h.Instance), Family: nftables.TableFamilyIPv4}
	addr, proto, port := nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService
	r.guard = &nftables.Chain{
		Table: r.table, Name: "guard", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw,
	}
	r.pods = r.set("pods", addr)
	r.hairpin = r.set("hairpin", addr, addr)
	r.ports = r.portMap("ports", proto, port)
	r.portsAt = r.portMap("ports_at", addr, proto, port)
	return r, nil
}

func (r *rules) sets() []*nftables.Set {
	return []*nftables.Set{r.pods, r.hairpin, r.ports, r.portsAt}
}

func (r *rules) set(name string, key ...nftables.SetDatatype) *nftables.Set {
	s := &nftables.Set{Table: r.table, Name: name, KeyType: key[0], KeyByteOrder: binaryutil.BigEndian}
	if len(key) > 1 {
		s.KeyType, s.Concatenation = nftables.MustConcatSetType(key...), true
	}
	return s
}

func (r *rules) portMap(name string, key ...nftables.SetDatatype) *nftables.Set {
	s := r.set(name, key...)
	s.IsMap, s.DataType = true, nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
	return s
}

// layOut adds to the transaction what the table consists of without any pod,
// unless it is there. In a table with rules of another layout it replaces those
// and keeps the elements.
func (r *rules) layOut(exists bool) error {
	if exists {
		if done, err := r.laidOut(); done || err != nil {
			return err
		}
	}
	r.conn.AddTable(r.table)
	for _, s := range r.sets() {
		if err := r.conn.AddSet(s, nil); err != nil {
			return err
		}
	}
	guard := r.emptied(r.guard)
	prerouting := r.nat("prerouting", nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	output := r.nat("output", nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	postrouting := r.nat("postrouting", nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	hostports := r.emptied(&nftables.Chain{Table: r.table, Name: "hostports"})

	fromPod := named(expr.MetaKeyIIFNAME, expr.CmpOpEq, r.links)
	toPod := named(expr.MetaKeyOIFNAME, expr.CmpOpEq, r.links)
	toOutside := named(expr.MetaKeyOIFNAME, expr.CmpOpNeq, r.links)

	r.rule(guard, fromPod, loopback(daddr), drop)
	r.rule(guard, fromPod, notRoutedBack, drop)
	for _, c := range []*nftables.Chain{prerouting, output} {
		r.rule(c, toLocalAddress, exprs{&expr.Verdict{Kind: expr.VerdictJump, Chain: hostports.Name}})
	}
	r.rule(hostports, exprs{load(daddr, 0), protocol(1), load(dport, 2)}, dnat(r.portsAt))
	r.rule(hostports, exprs{protocol(0), load(dport, 1)}, dnat(r.ports))
	r.rule(postrouting, toPod, loopback(saddr), snatToGateway)
	r.rule(postrouting, exprs{load(saddr, 0), load(daddr, 1)}, in(r.hairpin), snatToGateway)
	r.rule(postrouting, exprs{load(saddr, 0)}, in(r.pods), toOutside, exprs{&expr.Masq{FullyRandom: true}})
	return nil
}

func (r *rules) nat(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
	return r.emptied(&nftables.Chain{
		Table: r.table, Name: name, Type: nftables.ChainTypeNAT, Hooknum: hook, Priority: priority,
	})
}

func (r *rules) emptied(c *nftables.Chain) *nftables.Chain {
	r.conn.AddChain(c)
	r.conn.FlushChain(c)
	return c
}

// laidOut reports whether the table has the rules that layOut would write. Rules
// for links of another name are an error: replacing them would leave the pods
// that have those links without a guard.
func (r *rules) laidOut() (bool, error) {
	list, err := r.conn.GetRules(r.table, r.guard)
	if err != nil || len(list) == 0 {
		return false, err
	}
	comment, _ := userdata.GetString(list[0].UserData, userdata.TypeComment)
	if _, links, ok := strings.Cut(comment, " for "); ok && links != string(r.links)+"*" {
		return false, fmt.Errorf("its pods have links named %s: use that prefix, or take them down first", links)
	}
	return comment == r.comment(), nil
}

type exprs []expr.Any

func (r *rules) rule(c *nftables.Chain, parts ...exprs) {
	comment := userdata.AppendString(nil, userdata.TypeComment, r.comment())
	rule := &nftables.Rule{Table: r.table, Chain: c, UserData: comment}
	for _, p := range parts {
		rule.Exprs = append(rule.Exprs, p...)
	}
	r.conn.AddRule(rule)
}

// register numbers the kernel's 4-byte registers; a key of several parts lies in
// consecutive ones.
func register(n uint32) uint32 { return unix.NFT_REG32_00 + n }

// field is a part of the packet.
type field struct {
	base        expr.PayloadBase
	offset, len uint32
}

var (
	saddr = field{expr.PayloadBaseNetworkHeader, 12, 4}
	daddr = field{expr.PayloadBaseNetworkHeader, 16, 4}
	dport = field{expr.PayloadBaseTransportHeader, 2, 2} // of TCP and UDP alike
)

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

// dnat looks the key up in the map, whose value is address and port side by side.
func dnat(m *nftables.Set) exprs {
	return exprs{
		&expr.Lookup{SourceRegister: register(0), DestRegister: register(0), IsDestRegSet: true, SetName: m.Name, SetID: m.ID},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: register(0), RegProtoMin: register(1)},
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
	snatToGateway = exprs{
		&expr.Immediate{Register: unix.NFT_REG32_00, Data: Gateway.AsSlice()},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: unix.NFT_REG32_00},
	}
)
