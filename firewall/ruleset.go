package firewall

import (
	"bytes"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// ruleset is a table, read as far as it is needed.
type ruleset struct {
	conn   *nftables.Conn
	table  *nftables.Table
	chains map[string][]*nftables.Rule
	sets   map[string][]nftables.SetElement
}

func newRuleset(conn *nftables.Conn, table *nftables.Table) *ruleset {
	return &ruleset{conn, table, map[string][]*nftables.Rule{}, map[string][]nftables.SetElement{}}
}

func (r *ruleset) rules(chain string) ([]*nftables.Rule, error) {
	if rules, ok := r.chains[chain]; ok {
		return rules, nil
	}
	rules, err := r.conn.GetRules(r.table, &nftables.Chain{Table: r.table, Name: chain})
	r.chains[chain] = rules
	return rules, err
}

func (r *ruleset) elements(set string) ([]nftables.SetElement, error) {
	if list, ok := r.sets[set]; ok {
		return list, nil
	}
	list, err := r.conn.GetSetElements(&nftables.Set{Table: r.table, Name: set})
	slices.SortStableFunc(list, func(a, b nftables.SetElement) int { return bytes.Compare(a.Key, b.Key) })
	r.sets[set] = list
	return list, err
}

// verdict is what becomes of a packet in a chain.
type verdict int

const (
	passed   verdict = iota // no rule has decided; in a base chain the policy does
	accepted                // also where that is not known
	dropped
)

// maxDepth is the kernel's (NFT_JUMP_STACK_SIZE).
const maxDepth = 16

// drops tells whether the base chain drops the packet.
func (r *ruleset) drops(base *nftables.Chain, p packet) (bool, error) {
	v, err := r.walk(base.Name, p, 0)
	if v == passed && base.Policy != nil && *base.Policy == nftables.ChainPolicyDrop {
		v = dropped
	}
	return v == dropped, err
}

func (r *ruleset) walk(chain string, p packet, depth int) (verdict, error) {
	if depth > maxDepth {
		return accepted, nil
	}
	rules, err := r.rules(chain)
	if err != nil {
		return accepted, err
	}
	for _, rule := range rules {
		e := newEvaluation(r, p)
		decision, err := e.run(rule.Exprs)
		if err != nil {
			return accepted, err
		}
		if decision == nil {
			continue
		}
		switch decision.Kind {
		case expr.VerdictReturn:
			if !e.unsure {
				return passed, nil
			}
		case expr.VerdictAccept, expr.VerdictStolen, expr.VerdictQueue, expr.VerdictStop:
			return accepted, nil
		case expr.VerdictDrop:
			if !e.unsure {
				return dropped, nil
			}
		case expr.VerdictJump, expr.VerdictGoto:
			v, err := r.walk(decision.Chain, p, depth+1)
			switch {
			case err != nil:
				return accepted, err
			case v == accepted || v == dropped && !e.unsure:
				return v, nil
			case v == passed && decision.Kind == expr.VerdictGoto && !e.unsure:
				return passed, nil
			}
		}
	}
	return passed, nil
}
