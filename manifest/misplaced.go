package manifest

import (
	"reflect"
	"slices"
	"strings"
	"sync"

	"podrun/manifest/document"
)

// misplaced continues a complaint about a field that is not known where it stands: where it belongs.
func misplaced(t reflect.Type, fields fieldTable, p Problem) string {
	if p.Text != document.UnknownField {
		return ""
	}
	around, name := brackets.ReplaceAllString(p.Path, "[]"), ""
	if dot := strings.LastIndexByte(around, '.'); dot >= 0 {
		around, name = around[:dot], around[dot+1:]
	} else {
		around, name = "", around
	}
	switch name {
	case "cpu", "memory", "ephemeral-storage":
		if !strings.HasSuffix(around, "resources") {
			around = nearest(t, fields, around, "resources")
		}
		if around != "" {
			return ", it belongs to " + around + ".limits or requests"
		}
	default:
		if where := nearest(t, fields, around, name); where != "" {
			return ", it belongs to " + where
		}
	}
	return ""
}

// nearest is the pattern of a field of that name that is most likely meant where there is none: one that is
// honoured, that shares most with what is around it, and that lies least deep.
func nearest(t reflect.Type, fields fieldTable, around, name string) string {
	rank := func(pattern string) (r [3]int) {
		if fields.rule(pattern).class != honoured {
			r[0] = 1
		}
		r[1] = -shared(around, pattern)
		r[2] = strings.Count(pattern, ".")
		return r
	}
	list := patternsByName(t)[name]
	if len(list) == 0 {
		return ""
	}
	return slices.MinFunc(list, func(a, b string) int {
		x, y := rank(a), rank(b)
		return slices.Compare(x[:], y[:])
	})
}

// shared counts the steps that two patterns begin with.
func shared(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return i
		}
	}
	return min(len(x), len(y))
}

var namedPatterns sync.Map // reflect.Type -> map[string][]string

// patternsByName are the patterns of a type's fields by their last step.
func patternsByName(t reflect.Type) map[string][]string {
	if known, ok := namedPatterns.Load(t); ok {
		return known.(map[string][]string)
	}
	m := map[string][]string{}
	for _, p := range document.Patterns(t) {
		name := p[strings.LastIndexByte(p, '.')+1:]
		m[name] = append(m[name], p)
	}
	namedPatterns.Store(t, m)
	return m
}
