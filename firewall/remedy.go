package firewall

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables"
)

// remedy are the commands that make a chain accept a family's packets, by the
// firewall that the chain belongs to: a rule that goes past its owner is gone with
// the owner's next restart.
func (n Network) remedy(r *ruleset, base *nftables.Chain, subnet netip.Prefix) []string {
	switch {
	case base.Table.Name == "firewalld":
		return []string{
			fmt.Sprintf("firewall-cmd --permanent --zone=trusted --add-source=%v", subnet),
			"firewall-cmd --reload",
		}
	case base.Name == "FORWARD" && base.Table.Name == "filter" && r.hasChain("ufw-user-forward", "ufw6-user-forward"):
		return ufw(subnet)
	case base.Name == "FORWARD" && base.Table.Name == "filter":
		return n.iptables(program(subnet, "iptables"))
	}
	var commands []string
	for _, direction := range []string{"iifname", "oifname"} {
		commands = append(commands, fmt.Sprintf("nft insert rule %s %s %s %s '%s*' accept",
			tableFamily(base.Table), base.Table.Name, base.Name, direction, n.Links))
	}
	return commands
}

func ufw(subnet netip.Prefix) []string {
	return []string{fmt.Sprintf("ufw route allow from %v", subnet), fmt.Sprintf("ufw route allow to %v", subnet)}
}

// program is the family's: iptables or ip6tables, and the like.
func program(subnet netip.Prefix, name string) string {
	if subnet.Addr().Is4() {
		return name
	}
	return strings.Replace(name, "ip", "ip6", 1)
}

func (n Network) iptables(program string) []string {
	return []string{
		fmt.Sprintf("%s -I FORWARD -i %s+ -j ACCEPT", program, n.Links),
		fmt.Sprintf("%s -I FORWARD -o %s+ -j ACCEPT", program, n.Links),
	}
}

// hasChain tells whether the table has one of the chains with a rule in it, or
// jumps to it.
func (r *ruleset) hasChain(names ...string) bool {
	chains, err := r.conn.ListChainsOfTableFamily(r.table.Family)
	if err != nil {
		return false
	}
	for _, c := range chains {
		for _, name := range names {
			if c.Table.Name == r.table.Name && c.Name == name {
				return true
			}
		}
	}
	return false
}
