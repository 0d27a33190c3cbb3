package firewall

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// What whole firewalls do is tried on the kernel by the tests of package netns.

func TestFind(t *testing.T) {
	element := func(key byte, end bool) nftables.SetElement {
		return nftables.SetElement{Key: []byte{key}, IntervalEnd: end}
	}
	single := []nftables.SetElement{element(3, false), element(7, false)}
	ranges := []nftables.SetElement{element(0, true), element(3, false), element(5, true), element(8, false)}
	for _, c := range []struct {
		name string
		list []nftables.SetElement
		key  byte
		want bool
	}{
		{"of nothing", nil, 3, false},
		{"single", single, 3, true}, {"between singles", single, 5, false}, {"the last", single, 7, true}, {"after the last", single, 8, false},
		{"before a range", ranges, 1, false}, {"its beginning", ranges, 3, true}, {"within", ranges, 4, true}, {"its end", ranges, 5, false},
		{"of a range without an end", ranges, 200, true},
	} {
		if got := find(c.list, []byte{c.key}) != nil; got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// Rules that are not understood never make a chain look like one that drops.
func TestUnknownRules(t *testing.T) {
	p := Network{Links: "pod", Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Uplinks: []string{"eth0"}}.packets(0)[1]
	drop, accept := &expr.Verdict{Kind: expr.VerdictDrop}, &expr.Verdict{Kind: expr.VerdictAccept}
	meta := func(key expr.MetaKey, data string) []expr.Any {
		return []expr.Any{&expr.Meta{Key: key, Register: unix.NFT_REG_1}, &expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte(data)}}
	}
	rule := func(verdict expr.Any, match ...expr.Any) *nftables.Rule {
		return &nftables.Rule{Exprs: append(match, verdict)}
	}
	policy := nftables.ChainPolicyDrop
	for _, c := range []struct {
		name  string
		rules []*nftables.Rule
		want  bool // dropped; the policy drops
	}{
		{"none", nil, true},
		{"accepts the link", []*nftables.Rule{rule(accept, meta(expr.MetaKeyIIFNAME, "pod")...)}, false},
		{"accepts the other link", []*nftables.Rule{rule(accept, meta(expr.MetaKeyOIFNAME, "pod")...)}, true},
		{"accepts the link by its whole name", []*nftables.Rule{rule(accept, meta(expr.MetaKeyOIFNAME, "eth0\x00")...)}, false},
		{"may accept", []*nftables.Rule{rule(accept, meta(expr.MetaKeySKUID, "root")...)}, false},
		{"may accept by a limit", []*nftables.Rule{rule(accept, &expr.Limit{})}, false},
		{"may drop, then accepts", []*nftables.Rule{rule(drop, &expr.Match{Name: "set"}), rule(accept)}, false},
		{"drops, then accepts", []*nftables.Rule{rule(drop), rule(accept)}, true},
		{"rejects by iptables", []*nftables.Rule{rule(&expr.Target{Name: "REJECT"}), rule(accept)}, true},
		{"an unknown target", []*nftables.Rule{rule(&expr.Target{Name: "TARPIT"})}, false},
		{"jumps to what accepts", []*nftables.Rule{rule(&expr.Verdict{Kind: expr.VerdictJump, Chain: "accepts"})}, false},
		{"jumps to what returns, then accepts", []*nftables.Rule{rule(&expr.Verdict{Kind: expr.VerdictJump, Chain: "returns"}), rule(accept)}, false},
		{"goes to what returns", []*nftables.Rule{rule(&expr.Verdict{Kind: expr.VerdictGoto, Chain: "returns"}), rule(accept)}, true},
		{"jumps in a circle", []*nftables.Rule{rule(&expr.Verdict{Kind: expr.VerdictJump, Chain: "forward"})}, false},
	} {
		r := newRuleset(nil, &nftables.Table{})
		r.chains = map[string][]*nftables.Rule{
			"forward": c.rules, "accepts": {rule(accept)}, "returns": {rule(&expr.Verdict{Kind: expr.VerdictReturn}), rule(accept)},
		}
		got, err := r.drops(&nftables.Chain{Name: "forward", Policy: &policy}, p)
		if err != nil || got != c.want {
			t.Errorf("%s: dropped %v, %v; want %v", c.name, got, err, c.want)
		}
	}
}

func TestObstacleSaysAll(t *testing.T) {
	o := Obstacle{Table: "ip filter", Chain: "FORWARD", What: list([]string{"a", "b", "c"}), Remedy: []string{"one", "two"}}
	want := "the firewall's chain FORWARD (table ip filter) drops a, b and c; to let it pass: one && two"
	if got := o.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for base, want := range map[string]string{"firewalld": "firewall-cmd", "custom": "nft insert rule ip6 custom x iifname 'pod*' accept"} {
		n := Network{Links: "pod"}
		table := &nftables.Table{Name: base, Family: nftables.TableFamilyIPv6}
		commands := n.remedy(nil, &nftables.Chain{Name: "x", Table: table}, netip.MustParsePrefix("fd00::/64"))
		if !strings.HasPrefix(commands[0], want) {
			t.Errorf("%s: got %q, want %s", base, commands, want)
		}
	}
}

// FuzzLegacy: whatever the kernel gives, its rules are read within their bounds.
func FuzzLegacy(f *testing.F) {
	rule := make([]byte, 152)
	rule[88], rule[90] = 112, 152
	f.Add(rule, true)
	f.Add(append(rule, rule...), true)
	f.Add(make([]byte, 400), false)
	f.Fuzz(func(t *testing.T, data []byte, v4 bool) {
		b := &blob{layout: layouts[v4], data: data}
		if b.check() != nil {
			return
		}
		subnet := netip.MustParsePrefix("10.0.0.0/8")
		if !v4 {
			subnet = netip.MustParsePrefix("fd00::/64")
		}
		for _, p := range (Network{Links: "pod", Subnets: []netip.Prefix{subnet}, Uplinks: []string{"eth0"}}).packets(0) {
			b.walk(0, p, 0)
		}
	})
}
