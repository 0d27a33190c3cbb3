package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"

	"podrun/manifest"
)

// ours is podrun's verdict, and the fields that it refuses by its table or accepts without looking into them.
func ours(data []byte) (v verdict, refused []string) {
	_, err := manifest.Parse([]manifest.Source{{Name: "f", Data: data}}, manifest.Options{})
	if err == nil {
		return v, nil
	}
	for _, p := range err.(manifest.Problems) {
		switch {
		case strings.HasPrefix(p.Text, "is not supported by podrun"):
			refused = append(refused, p.Path)
		default:
			v.undecodable = v.undecodable || wrongType(p.Text)
			v.complaints = append(v.complaints, complaint{p.Path, p.Text})
		}
	}
	return v, refused
}

// wrongType tells a complaint about a value's type from others.
func wrongType(text string) bool {
	return strings.HasPrefix(text, "must be a") && strings.Contains(text, ", found ") ||
		strings.HasPrefix(text, "must be true or false, found ") ||
		strings.HasSuffix(text, " is out of range") || strings.HasPrefix(text, "must be base64")
}

// result is how two verdicts compare.
type result int

const (
	agree   result = iota
	byTable        // podrun refuses a field that its table says it refuses; what else there is, agrees
	differ
)

// compare holds podrun's verdict about an object against the server's. The second value says what differs. What
// podrun refuses by its table is taken out, and the rest compared.
func compare(data []byte) (result, string) {
	theirs := server(data)
	own, refused := ours(data)
	switch {
	case theirs.undecodable && (!own.ok() || len(refused) > 0):
		return agree, ""
	case theirs.undecodable || own.undecodable:
		return differ, fmt.Sprintf("decoding: the server says %v, podrun %v", theirs.complaints, own.complaints)
	}
	if len(refused) > 0 {
		r, what := compare(without(data, refused))
		return max(byTable, r), what
	}
	var missing, extra []string
	for _, p := range theirs.paths() {
		if !slices.Contains(own.paths(), p) {
			missing = append(missing, "not complained of: "+p+": "+theirs.text(p))
		}
	}
	for _, p := range own.paths() {
		if !slices.Contains(theirs.paths(), p) && !theirs.strict {
			extra = append(extra, "complained of: "+p+": "+own.text(p))
		}
	}
	if theirs.ok() && own.ok() {
		for _, p := range differences(data) {
			extra = append(extra, "with another value: "+p)
		}
	}
	switch {
	case len(missing)+len(extra) > 0:
		return differ, strings.Join(append(missing, extra...), "\n")
	}
	return agree, ""
}

func (v verdict) text(path string) string {
	for _, c := range v.complaints {
		if c.path == path {
			return c.text
		}
	}
	return ""
}

// without takes fields out of an object.
func without(data []byte, paths []string) []byte {
	var o any
	if err := yaml.Unmarshal(data, &o); err != nil { // JSON, too
		panic(err)
	}
	for _, p := range paths {
		o = remove(o, steps(p))
	}
	out, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return out
}

// steps takes a path apart; what is in brackets is one step.
func steps(path string) []string {
	var list []string
	for path != "" {
		if path[0] == '[' {
			end := strings.IndexByte(path, ']')
			list, path = append(list, path[1:end]), strings.TrimPrefix(path[end+1:], ".")
			continue
		}
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		list, path = append(list, path[:end]), strings.TrimPrefix(path[end:], ".")
	}
	return list
}

// remove takes a value out of an object; the places of list items stay as they are.
func remove(o any, steps []string) any {
	switch x := o.(type) {
	case map[string]any:
		if len(steps) == 1 {
			delete(x, steps[0])
		} else {
			x[steps[0]] = remove(x[steps[0]], steps[1:])
		}
	case []any:
		if i, err := strconv.Atoi(steps[0]); err == nil && i < len(x) && len(steps) > 1 {
			x[i] = remove(x[i], steps[1:])
		}
	}
	return o
}
