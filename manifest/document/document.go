// Package document reads YAML, and so JSON, into documents whose every value knows its line and column,
// and decodes them strictly into Go types by their json tags. It owns syntax, the meaning of scalars,
// aliases and merge keys, the limits that keep a hostile file from costing more than its size, and the
// complaints about all of these. It knows nothing of Kubernetes: which objects and values are allowed is
// for package manifest to say.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"gopkg.in/yaml.v3"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// MaxBytes is the largest source that is read: an API server takes requests up to this size.
	MaxBytes = 3 << 20

	// maxNodes bounds what one document may hold after its aliases are expanded. The largest bundles in
	// use hold some ten thousand values; a list of Pods costs up to a kilobyte of memory a value.
	maxNodes = 250_000
)

// Value is a document, or a part of one. The zero Value is an absent part.
type Value struct {
	file   string
	node   *yaml.Node
	secret bool // see Secret
}

// Read parses every document of a source. Documents that hold nothing but comments are left out. After a
// syntax error the documents before it are still returned, with the complaint.
func Read(file string, data []byte) ([]Value, Problems) {
	if text := unreadable(data); text != "" {
		return nil, Problems{{Position: Position{file, 1, 1}, Text: text}}
	}
	if p, ok := badText(data); ok {
		p.File = file
		return nil, Problems{p}
	}
	var (
		values   []Value
		problems Problems
		dec      = yaml.NewDecoder(bytes.NewReader(yamlEscapes(data)))
	)
	for {
		var doc yaml.Node
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			problems = append(problems, syntaxProblem(file, data, err))
			break
		}
		if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 || isNull(doc.Content[0]) {
			continue
		}
		root := doc.Content[0]
		if p, ok := checkAliases(root); ok {
			p.File = file
			problems = append(problems, p)
			continue
		}
		values = append(values, Value{file: file, node: root})
	}
	if len(values) == 0 && len(problems) == 0 {
		problems = Problems{{Position: Position{file, 1, 1}, Text: "holds no object, only comments or blank lines"}}
	}
	return values, problems
}

// Exists tells whether the value is there and is not null.
func (v Value) Exists() bool { return v.node != nil && !isNull(follow(v.node)) }

// Position is where the value begins.
func (v Value) Position() Position {
	return Position{v.file, v.node.Line, v.node.Column}
}

// Mapping tells whether the value is a mapping.
func (v Value) Mapping() bool { return v.node != nil && follow(v.node).Kind == yaml.MappingNode }

// Describe names the value for a complaint: `a list`, `the string "x"`.
func (v Value) Describe() string { return describe(follow(v.node)) }

// Secret is the value, of which no complaint of Decode quotes a part.
func (v Value) Secret() Value {
	v.secret = true
	return v
}

// Field is the value under a key of a mapping; absent if there is none.
func (v Value) Field(key string) Value {
	if !v.Mapping() {
		return Value{}
	}
	for _, e := range entries(follow(v.node), nil) {
		if e.key == key {
			return Value{v.file, e.value, v.secret}
		}
	}
	return Value{}
}

// Misspelt is a complaint about a key of a mapping that was probably meant to be the one given; ok is whether there is one.
func (v Value) Misspelt(key string) (p Problem, ok bool) {
	if !v.Mapping() {
		return Problem{}, false
	}
	for _, e := range entries(follow(v.node), nil) {
		if e.key != key && Suggest(e.key, []string{key}) != "" {
			return Problem{Position{v.file, e.keyNode.Line, e.keyNode.Column}, shorten(e.key), fmt.Sprintf("unknown field, did you mean %q?", key)}, true
		}
	}
	return Problem{}, false
}

// Items are the elements of a list, and nothing for any other value.
func (v Value) Items() []Value {
	if v.node == nil || follow(v.node).Kind != yaml.SequenceNode {
		return nil
	}
	var items []Value
	for _, n := range follow(v.node).Content {
		items = append(items, Value{v.file, n, v.secret})
	}
	return items
}

// Text is the string that the value is; "" for anything else.
func (v Value) Text() string {
	if v.node == nil || follow(v.node).Kind != yaml.ScalarNode {
		return ""
	}
	s, err := scalar(follow(v.node))
	if err != nil {
		return ""
	}
	text, _ := s.(string)
	return text
}

// Problem is a complaint about the value.
func (v Value) Problem(path, format string, args ...any) Problem {
	return Problem{v.Position(), path, fmt.Sprintf(format, args...)}
}

// follow gives what an alias stands for. Cycles were refused before any Value was made.
func follow(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode {
		return false
	}
	v, err := scalar(n)
	return err == nil && v == nil
}

// child extends a path that may still be empty.
func child(path *field.Path, name string) *field.Path {
	if path == nil {
		return field.NewPath(name)
	}
	return path.Child(name)
}

func pathText(path *field.Path) string {
	if path == nil {
		return ""
	}
	return path.String()
}
