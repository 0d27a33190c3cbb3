package document

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Field is one struct field that a document sets to something other than null.
type Field struct {
	Position                // of its key
	Path      *field.Path   // spec.containers[0].image
	Pattern   string        // spec.containers[].image
	Value     reflect.Value // as decoded; the zero Value's kind is the field's if the document was wrong there
	Structure bool          // whether it holds struct fields in turn
}

// Walk calls visit for every field that the value sets and that decoded, filled by Decode, has; the outer
// before the inner ones. If visit answers false, the fields below are left out.
func (v Value) Walk(decoded any, visit func(Field) bool) {
	w := walker{v.file, visit}
	w.walk(v.node, reflect.ValueOf(decoded), nil, "")
}

type walker struct {
	file  string
	visit func(Field) bool
}

func (w walker) walk(n *yaml.Node, value reflect.Value, path *field.Path, pattern string) {
	n = follow(n)
	for value.Kind() == reflect.Pointer {
		if value.IsNil() {
			return
		}
		value = value.Elem()
	}
	switch {
	case !hasFields(value.Type()):
	case n.Kind == yaml.SequenceNode && value.Kind() == reflect.Slice:
		for i := range min(value.Len(), len(n.Content)) {
			w.walk(n.Content[i], value.Index(i), path.Index(i), pattern+"[]")
		}
	case n.Kind == yaml.MappingNode && value.Kind() == reflect.Struct:
		w.structure(n, value, path, pattern)
	}
}

func (w walker) structure(n *yaml.Node, value reflect.Value, path *field.Path, pattern string) {
	fields := fieldsOf(value.Type())
	if pattern != "" {
		pattern += "."
	}
	for _, e := range entries(n, nil) {
		index, ok := fields.byName[e.key]
		if !ok || isNull(follow(e.value)) {
			continue
		}
		f := Field{
			Position:  Position{w.file, e.keyNode.Line, e.keyNode.Column},
			Path:      child(path, e.key),
			Pattern:   pattern + e.key,
			Value:     value.FieldByIndex(index),
			Structure: hasFields(value.FieldByIndex(index).Type()),
		}
		if w.visit(f) {
			w.walk(e.value, f.Value, f.Path, f.Pattern)
		}
	}
}

// Member is one field of a struct type.
type Member struct {
	Name string
	Type reflect.Type
}

// Members lists the fields, by name, of a struct or of what a list of structs holds; nothing for any other type.
func Members(t reflect.Type) []Member {
	if !hasFields(t) {
		return nil
	}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	fields := fieldsOf(t)
	members := make([]Member, len(fields.names))
	for i, name := range fields.names {
		members[i] = Member{name, t.FieldByIndex(fields.byName[name]).Type}
	}
	return members
}

// Extend is the pattern of a field of a value with a pattern and a type: spec.containers becomes spec.containers[].name.
func Extend(pattern string, t reflect.Type, name string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice {
		pattern += "[]"
	}
	if pattern == "" {
		return name
	}
	return pattern + "." + name
}

// Patterns lists the patterns of all fields that a type has, outer before inner ones.
func Patterns(t reflect.Type) []string {
	return patterns(t, "", nil)
}

func patterns(t reflect.Type, prefix string, list []string) []string {
	for _, m := range Members(t) {
		p := Extend(prefix, t, m.Name)
		list = patterns(m.Type, p, append(list, p))
	}
	return list
}

// hasFields tells whether a type is a struct, or a list of structs, that decodes field by field.
func hasFields(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// Locate finds the place of a field path inside the value. For a field that is not there it is the place
// of the nearest part of the path that is: where the missing field would have to be added.
func (v Value) Locate(path string) Position {
	n, at := follow(v.node), v.node
	for _, step := range splitPath(path) {
		keyNode, next := lookUp(n, step)
		if next == nil {
			break
		}
		at, n = next, follow(next)
		if keyNode != nil && (isNull(n) || n.Kind != yaml.ScalarNode) {
			at = keyNode
		}
	}
	return Position{v.file, at.Line, at.Column}
}

// ProblemAt is a complaint about a field of the value, wherever that is.
func (v Value) ProblemAt(path, text string) Problem {
	return Problem{v.Locate(path), path, text}
}

// splitPath takes spec.containers[0].image apart into spec, containers, 0, image. What stands in brackets
// is one step, whatever it holds: it may be a label's name.
func splitPath(path string) []string {
	var steps []string
	for path != "" {
		if path[0] == '[' {
			key, rest, _ := strings.Cut(path[1:], "]")
			steps, path = append(steps, key), strings.TrimPrefix(rest, ".")
			continue
		}
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		steps, path = append(steps, path[:end]), strings.TrimPrefix(path[end:], ".")
	}
	return steps
}

// lookUp takes one step of a path: the value, and the key where there is one; nil if there is no such value.
func lookUp(n *yaml.Node, step string) (keyNode, value *yaml.Node) {
	switch n.Kind {
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && 0 <= i && i < len(n.Content) {
			return nil, n.Content[i]
		}
	case yaml.MappingNode:
		for _, e := range entries(n, nil) {
			if e.key == step {
				return e.keyNode, e.value
			}
		}
	}
	return nil, nil
}
