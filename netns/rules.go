package netns

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
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
// and a table of the same name for ip6, where there are pods with IPv6. It
// differs in two rules. The kernel takes ::1 from no link and sends it to none, so
// there is nothing to guard and nothing to rewrite: output passes over what goes
// to ::1, which a relay serves.
//
// guard drops what a pod sends to the loopback (the links of pods with host
// ports have route_localnet set: CVE-2020-8558), and what it sends from an
// address that is not routed to its own link, link-local ones included: a pod
// has no neighbours to discover, and no router to be (CVE-2020-10749). It looks
// at links and routes, not at the set of pods, so that two instances whose links
// have the same prefix do not drop each other's packets.
//
// A client's address reaches the pod unchanged, except where no answer would
// come back: from the loopback, and from the pod itself through its own host
// port (hairpin holds <pod> . <pod>). Traffic between pods, of any instance with
// this prefix, keeps its addresses; all else that pods send is masqueraded, with
// random ports, because pods that ask one resolver from the same port at once
// would otherwise race for the mapping.
type rules struct {
	*family
	conn    *nftables.Conn
	table   *nftables.Table
	links   []byte     // beginning of our links' names
	gateway netip.Addr // of the family; invalid where nothing is laid out
	guard   *nftables.Chain

	thorough bool // every chain is looked at, and not the first alone

	pods, hairpin, ports, portsAt *nftables.Set
}

// layout is the comment on every rule. Raise its number with every change of the
// rules: Attach replaces those of another layout, and leaves equal ones alone,
// because removing a rule makes the kernel wait for RCU (10 ms).
const layout = "podrun rules 1"

func (r *rules) comment() string { return layout + " for " + string(r.links) + "*" }

func tableName(instance string) string { return "podrun-" + instance }

// rules are those of one family, whose changes go into conn's transaction.
func (h Host) rules(conn *nftables.Conn, f *family) *rules {
	r := &rules{family: f, conn: conn, links: []byte(h.prefix()), gateway: h.gateway(f)}
	r.table = &nftables.Table{Name: tableName(h.Instance), Family: f.table}
	addr, proto, port := f.addr, nftables.TypeInetProto, nftables.TypeInetService
	r.guard = &nftables.Chain{
		Table: r.table, Name: "guard", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw,
	}
	r.pods = r.set("pods", addr)
	r.hairpin = r.set("hairpin", addr, addr)
	r.ports = r.portMap("ports", proto, port)
	r.portsAt = r.portMap("ports_at", addr, proto, port)
	return r
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
	s.IsMap, s.DataType = true, nftables.MustConcatSetType(r.addr, nftables.TypeInetService)
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

	toHostPort := exprs{&expr.Verdict{Kind: expr.VerdictJump, Chain: hostports.Name}}
	w := r.words // registers of an address

	if r.family == ipv4 {
		r.rule(guard, fromPod, loopback(r.daddr), drop)
		r.rule(output, toLocalAddress, toHostPort)
		r.rule(postrouting, toPod, loopback(r.saddr), r.snatToGateway())
	} else {
		r.rule(output, notTo(r.daddr, netip.IPv6Loopback()), toLocalAddress, toHostPort)
	}
	r.rule(guard, fromPod, notRoutedBack, drop)
	r.rule(prerouting, toLocalAddress, toHostPort)
	r.rule(hostports, exprs{load(r.daddr, 0), protocol(w), load(dport, w+1)}, r.dnat(r.portsAt))
	r.rule(hostports, exprs{protocol(0), load(dport, 1)}, r.dnat(r.ports))
	r.rule(postrouting, exprs{load(r.saddr, 0), load(r.daddr, w)}, in(r.hairpin), r.snatToGateway())
	r.rule(postrouting, exprs{load(r.saddr, 0)}, in(r.pods), toOutside, exprs{&expr.Masq{FullyRandom: true}})
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
	if comment != r.comment() || !r.thorough {
		return comment == r.comment(), nil
	}
	for chain, want := range r.family.rules {
		list, err := r.conn.GetRules(r.table, &nftables.Chain{Table: r.table, Name: chain})
		if err != nil || len(list) != want {
			return false, err
		}
	}
	return true, nil
}

func (r *rules) rule(c *nftables.Chain, parts ...exprs) {
	comment := userdata.AppendString(nil, userdata.TypeComment, r.comment())
	rule := &nftables.Rule{Table: r.table, Chain: c, UserData: comment}
	for _, p := range parts {
		rule.Exprs = append(rule.Exprs, p...)
	}
	r.conn.AddRule(rule)
}
