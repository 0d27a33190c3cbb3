package firewall

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"podrun/step"
)

// dockerUser is docker's chain for the rules of others, which it asks first and
// never changes (docs.docker.com/engine/network/packet-filtering-firewalls).
const dockerUser = "DOCKER-USER"

// Admit lets the packets of pods pass docker, which drops all forwarded ones that
// are not its own. Without docker it does nothing. The rules are found again by
// their owner.
func Admit(conn *nftables.Conn, links, owner string) error {
	defer step.Change("admit pods")()
	return eachDockerUser(conn, func(c *nftables.Chain, rules []*nftables.Rule) error {
		if len(owned(rules, owner)) > 0 {
			return nil
		}
		for _, direction := range []expr.MetaKey{expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME} {
			conn.InsertRule(&nftables.Rule{
				Table: c.Table, Chain: c, Exprs: accept(direction, links),
				UserData: userdata.AppendString(nil, userdata.TypeComment, owner),
			})
		}
		return conn.Flush()
	})
}

// Retract removes what Admit has written.
func Retract(conn *nftables.Conn, owner string) error {
	defer step.Change("retract rules")()
	return eachDockerUser(conn, func(_ *nftables.Chain, rules []*nftables.Rule) error {
		for _, rule := range owned(rules, owner) {
			if err := conn.DelRule(rule); err != nil {
				return err
			}
		}
		return conn.Flush()
	})
}

// Admitted names the tables in which Admit's rules are.
func Admitted(conn *nftables.Conn, owner string) (tables []string, err error) {
	err = eachDockerUser(conn, func(c *nftables.Chain, rules []*nftables.Rule) error {
		if len(owned(rules, owner)) > 0 {
			tables = append(tables, tableFamily(c.Table)+" "+c.Table.Name)
		}
		return nil
	})
	return tables, err
}

// Lacks tells whether docker is there without Admit's rules.
func Lacks(conn *nftables.Conn, owner string) (lacks bool, err error) {
	err = eachDockerUser(conn, func(_ *nftables.Chain, rules []*nftables.Rule) error {
		lacks = lacks || len(owned(rules, owner)) == 0
		return nil
	})
	return lacks, err
}

// eachDockerUser calls f for docker's chain of each family.
func eachDockerUser(conn *nftables.Conn, f func(*nftables.Chain, []*nftables.Rule) error) error {
	chains, err := conn.ListChains()
	if err != nil {
		return fmt.Errorf("list firewall chains: %w", err)
	}
	for _, c := range chains {
		if c.Name != dockerUser || c.Table.Name != "filter" {
			continue
		}
		rules, err := conn.GetRules(c.Table, c)
		if err == nil {
			err = f(c, rules)
		}
		if err != nil {
			return fmt.Errorf("let pods pass chain %s of table %s filter: %w", dockerUser, tableFamily(c.Table), err)
		}
	}
	return nil
}

func owned(rules []*nftables.Rule, owner string) []*nftables.Rule {
	var list []*nftables.Rule
	for _, r := range rules {
		if comment, _ := userdata.GetString(r.UserData, userdata.TypeComment); comment == owner {
			list = append(list, r)
		}
	}
	return list
}

// accept is the rule in the form that iptables itself writes, so that it goes on to
// understand its table.
func accept(direction expr.MetaKey, links string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: direction, Register: unix.NFT_REG_1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte(links)},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}
