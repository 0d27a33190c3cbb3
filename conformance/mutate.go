package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// wrongValues are tried in the place of every value. Most are wrong nearly everywhere.
var wrongValues = []any{
	"", "x", "Bad_Value!", "a b", "UPPER", "80", "..", "../x", "/a:b", "a/b", "/abs", "example.com/name", strings.Repeat("a", 64), strings.Repeat("a", 254),
	"1.2.3.4", "-1", "10Mi", "Always", "None",
	0, 1, -1, 70000, 1 << 33, true, false, 1.5,
	nil, []any{}, map[string]any{}, []any{"x"}, []any{""}, map[string]any{"x": "y"}, []any{map[string]any{}},
}

// mutator changes objects at each place: to every wrong value, to nothing, to one more of the same, with a field that
// nobody knows. What it has done enough times to a field, it leaves out for further ones.
type mutator struct {
	enough int
	done   map[string]int
}

var indices = regexp.MustCompile(`\[\d+\]`)

// mutations calls visit with each changed object.
func (m *mutator) mutations(object map[string]any, visit func(what string, data []byte)) {
	var walk func(value any, path string, set func(any), drop func())
	show := func(what string) {
		key := fmt.Sprint(object["kind"], indices.ReplaceAllString(what, "[]"))
		if m.done[key]++; m.done[key] > m.enough {
			return
		}
		data, err := json.Marshal(object)
		if err != nil {
			panic(err)
		}
		visit(what, data)
	}
	walk = func(value any, path string, set func(any), drop func()) {
		if path != "" {
			for _, wrong := range wrongValues {
				set(wrong)
				show(fmt.Sprintf("%s set to %#v", path, wrong))
			}
			drop()
			show(path + " dropped")
			set(value)
		}
		switch x := value.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(x)) {
				if path == "" && (key == "kind" || key == "apiVersion") {
					continue
				}
				walk(x[key], path+"."+key, func(v any) { x[key] = v }, func() { delete(x, key) })
			}
			x["unknownField"] = "x"
			show(path + ".unknownField added")
			delete(x, "unknownField")
		case []any:
			for i := range x {
				without := slices.Delete(slices.Clone(x), i, i+1)
				walk(x[i], fmt.Sprintf("%s[%d]", path, i), func(v any) { set(x); x[i] = v }, func() { set(without) })
				set(x)
			}
			if len(x) > 0 {
				set(append(slices.Clone(x), x[len(x)-1]))
				show(path + " with its last item twice")
				set(x)
			}
		}
	}
	walk(object, "", nil, nil)
}
