package manifest

import (
	"fmt"
	"reflect"
	"strings"
)

// class is what podrun makes of a field.
type class int

const (
	unclassified class = iota // the table lacks it: a test fails, and a manifest that sets it is refused
	honoured                  // means what Kubernetes says; the fields below it have rows of their own
	ignored                   // has no meaning on one machine: accepted with a note
	refused
)

var classes = map[string]class{"honoured": honoured, "ignored": ignored, "refused": refused}

// String is the class as people read it.
func (c class) String() string {
	return [...]string{"unclassified", "honoured", "no meaning here", "refused"}[c]
}

type rule struct {
	class    class
	reason   string // why, and what to use instead
	harmless string // the value that asks for what happens anyway, where that is not the zero value; {} for an empty struct
}

// fieldTable holds a rule for each field pattern. The three lists of containers share the rules of containers.
type fieldTable map[string]rule

// own is the rule of a pattern itself.
func (t fieldTable) own(pattern string) (rule, bool) {
	if r, ok := t[pattern]; ok {
		return r, true
	}
	for _, list := range []string{"spec.initContainers[", "spec.ephemeralContainers["} {
		if rest, ok := strings.CutPrefix(pattern, list); ok {
			r, ok := t["spec.containers["+rest]
			return r, ok
		}
	}
	return rule{}, false
}

// rule is what holds for a pattern: the rule of the outermost field around it that is not honoured, else its own.
func (t fieldTable) rule(pattern string) rule {
	for i := range len(pattern) {
		if pattern[i] != '.' {
			continue
		}
		if r, ok := t.own(strings.TrimSuffix(pattern[:i], "[]")); !ok || r.class != honoured {
			return r
		}
	}
	r, _ := t.own(pattern)
	return r
}

// harmless tells whether a field is set to something that changes nothing: the value that the table names,
// or else false, "" or an empty list. Behind a pointer 0, "" and {} are values of their own (fsGroup: 0 is
// root's group, nfs: {} a network volume), so that only false and what the table names count.
func harmless(v reflect.Value, r rule) bool {
	pointer := v.Kind() == reflect.Pointer
	if pointer {
		if v.IsNil() {
			return true // nothing was decoded, which the document's reader has complained of
		}
		v = v.Elem()
	}
	switch {
	case r.harmless == "{}":
		return v.IsZero()
	case r.harmless != "":
		return fmt.Sprint(v) == r.harmless
	case v.Kind() == reflect.Slice, v.Kind() == reflect.Map:
		return v.Len() == 0
	}
	return v.IsZero() && (!pointer || v.Kind() == reflect.Bool)
}

// parseTable reads a table: "class  parent  name name=harmless ...  : reason", where the parent - is the object
// itself, {a,b} in it stands for either, and a reason holds for the whole line.
func parseTable(tables ...string) fieldTable {
	t := fieldTable{}
	for _, table := range tables {
		for line := range strings.Lines(strings.TrimSpace(table)) {
			row, reason, _ := strings.Cut(line, " : ")
			words := strings.Fields(row)
			if len(words) == 0 {
				continue
			}
			for _, parent := range alternatives(words[1]) {
				for _, word := range words[2:] {
					name, value, _ := strings.Cut(word, "=")
					t[strings.TrimPrefix(parent+"."+name, "-.")] = rule{classes[words[0]], strings.TrimSpace(reason), value}
				}
			}
		}
	}
	return t
}

// alternatives are the patterns that one with {a,b} in it stands for.
func alternatives(pattern string) []string {
	before, rest, ok := strings.Cut(pattern, "{")
	if !ok {
		return []string{pattern}
	}
	inside, after, _ := strings.Cut(rest, "}")
	var all []string
	for choice := range strings.SplitSeq(inside, ",") {
		for _, tail := range alternatives(after) {
			all = append(all, before+choice+tail)
		}
	}
	return all
}
