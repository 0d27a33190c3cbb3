// Package firewall finds out what the machine's other firewalls (docker's, ufw's,
// firewalld's, an administrator's own) make of packets that the machine forwards
// for pods, and says what would let them pass. A packet passes when every chain
// on the kernel's forward hook accepts it, so no rule of podrun's own can help
// where another chain drops.
//
// It reads; the one thing that it writes is docker's documented place for the
// rules of others (see [Admit]). podrun's own table belongs to package netns.
package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
)

// Network is what pods look like to a firewall.
type Network struct {
	Links   string         // beginning of the names of their links
	Subnets []netip.Prefix // of their addresses, one for each family
	Uplinks []string       // by which the machine reaches the outside, in the order of Subnets; empty: it does not
}

// Obstacle is a chain that drops packets of pods.
type Obstacle struct {
	Table, Chain string // as nft writes them: "ip filter", "FORWARD"
	What         string // it drops
	Remedy       []string
}

// String is one sentence, and the commands that help.
func (o Obstacle) String() string {
	return fmt.Sprintf("the firewall's chain %s (table %s) drops %s; to let it pass: %s", o.Chain, o.Table, o.What, strings.Join(o.Remedy, " && "))
}

// Obstacles judges the chains of nftables, those of iptables-nft among them, and
// those of the older iptables. Rules whose meaning for a packet is not known count in the
// packet's favour: what is named here does drop.
func Obstacles(n Network) ([]Obstacle, error) {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("open netfilter socket: %w", err)
	}
	defer conn.CloseLasting()
	chains, err := conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("list firewall chains: %w", err)
	}
	var found []Obstacle
	for _, c := range chains {
		if c.Hooknum == nil || *c.Hooknum != *nftables.ChainHookForward || c.Type != nftables.ChainTypeFilter {
			continue
		}
		o, err := n.judge(conn, c)
		if err != nil {
			return found, fmt.Errorf("read firewall chain %s: %w", c.Name, err)
		}
		found = append(found, o...)
	}
	legacy, err := n.judgeLegacy()
	return append(found, legacy...), err
}

// families are those whose packets a table sees.
func families(t *nftables.Table) (v4, v6 bool) {
	switch t.Family {
	case nftables.TableFamilyINet:
		return true, true
	case nftables.TableFamilyIPv4:
		return true, false
	case nftables.TableFamilyIPv6:
		return false, true
	}
	return false, false
}

func (n Network) judge(conn *nftables.Conn, base *nftables.Chain) ([]Obstacle, error) {
	v4, v6 := families(base.Table)
	r := newRuleset(conn, base.Table)
	var found []Obstacle
	for i, subnet := range n.Subnets {
		if is4 := subnet.Addr().Is4(); is4 && !v4 || !is4 && !v6 {
			continue
		}
		var dropped []string
		for _, p := range n.packets(i) {
			drops, err := r.drops(base, p)
			if err != nil {
				return nil, err
			}
			if drops {
				dropped = append(dropped, p.name)
			}
		}
		if len(dropped) == 0 {
			continue
		}
		found = append(found, Obstacle{
			Table: tableFamily(base.Table) + " " + base.Table.Name, Chain: base.Name, What: list(dropped),
			Remedy: n.remedy(r, base, subnet),
		})
	}
	return merge(found), nil
}

// merge makes one of the two that an inet table gives for IPv4 and IPv6.
func merge(found []Obstacle) []Obstacle {
	if len(found) != 2 {
		return found
	}
	for _, command := range found[1].Remedy {
		if !slices.Contains(found[0].Remedy, command) {
			found[0].Remedy = append(found[0].Remedy, command)
		}
	}
	return found[:1]
}

func list(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

func tableFamily(t *nftables.Table) string {
	switch t.Family {
	case nftables.TableFamilyINet:
		return "inet"
	case nftables.TableFamilyIPv6:
		return "ip6"
	}
	return "ip"
}
