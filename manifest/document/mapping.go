package document

import (
	"fmt"

	"gopkg.in/yaml.v3"
)

// entry is one key of a mapping with its value, its own or merged in with <<.
type entry struct {
	key            string
	keyNode, value *yaml.Node
}

// entries lists the keys of a mapping: its own in order, then what << brings in and the mapping does not
// set itself. complain, if not nil, is told of duplicate keys (by key), keys that are no text and impossible merges.
func entries(n *yaml.Node, complain func(at *yaml.Node, key, text string)) []entry {
	if complain == nil {
		complain = func(*yaml.Node, string, string) {}
	}
	var (
		list   = make([]entry, 0, len(n.Content)/2)
		seen   = make(map[string]*yaml.Node, len(n.Content)/2)
		merges []*yaml.Node
	)
	for i := 0; i+1 < len(n.Content); i += 2 {
		keyNode, value := n.Content[i], n.Content[i+1]
		if isMerge(keyNode) {
			merges = append(merges, value)
			continue
		}
		key, err := keyText(follow(keyNode))
		if err != nil {
			complain(keyNode, "", err.Error())
			continue
		}
		if first := seen[key]; first != nil {
			complain(keyNode, key, fmt.Sprintf("duplicate key %q, first set in line %d", shorten(key), first.Line))
			continue
		}
		seen[key] = keyNode
		list = append(list, entry{key, keyNode, value})
	}
	for _, m := range merges {
		for _, e := range merged(m, complain) {
			if seen[e.key] == nil {
				seen[e.key] = e.keyNode
				list = append(list, e)
			}
		}
	}
	return list
}

// merged lists what the value of << brings in: one mapping, or a list of them of which earlier ones win.
func merged(n *yaml.Node, complain func(*yaml.Node, string, string)) []entry {
	switch target := follow(n); target.Kind {
	case yaml.MappingNode:
		return entries(target, complain)
	case yaml.SequenceNode:
		var list []entry
		for _, item := range target.Content {
			if follow(item).Kind != yaml.MappingNode {
				complain(item, "", "<< merges mappings, found "+describe(follow(item)))
				continue
			}
			list = append(list, entries(follow(item), complain)...)
		}
		return list
	default:
		complain(n, "", "<< merges mappings, found "+describe(target))
		return nil
	}
}

// isMerge tells whether a key is <<. In quotes it is an ordinary key.
func isMerge(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Value == "<<" && n.ShortTag() == "!!merge"
}

// checkAliases refuses a document that would grow past maxNodes, or without end, when its aliases are
// expanded. It expands nothing: each node is counted once, and an alias costs what its target costs.
func checkAliases(root *yaml.Node) (Problem, bool) {
	c := counter{cost: map[*yaml.Node]int{}}
	total := c.count(root)
	switch {
	case c.cycle != nil:
		return Problem{
			Position: Position{Line: c.cycle.Line, Column: c.cycle.Column},
			Text:     fmt.Sprintf("alias *%s stands inside the value that it repeats", shorten(c.cycle.Value)),
		}, true
	case total > maxNodes:
		return Problem{
			Position: Position{Line: root.Line, Column: root.Column},
			Text:     fmt.Sprintf("holds more than %d values once its aliases are expanded", maxNodes),
		}, true
	}
	return Problem{}, false
}

type counter struct {
	cost  map[*yaml.Node]int // of anchored nodes: -1 while it is being counted
	cycle *yaml.Node         // the first alias that leads back into its own target
}

// count gives the number of nodes under n, at most a little over maxNodes.
func (c *counter) count(n *yaml.Node) int {
	if n.Kind == yaml.AliasNode {
		if c.cost[n.Alias] < 0 {
			if c.cycle == nil {
				c.cycle = n
			}
			return 1
		}
		return c.count(n.Alias)
	}
	if n.Anchor != "" {
		if known := c.cost[n]; known > 0 {
			return known
		}
		c.cost[n] = -1
	}
	total := 1
	for _, m := range n.Content {
		if total > maxNodes {
			break
		}
		total += c.count(m)
	}
	if n.Anchor != "" {
		c.cost[n] = total
	}
	return total
}
