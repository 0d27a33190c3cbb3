package document

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"gopkg.in/yaml.v3"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Decode fills what into points at from the value, as encoding/json with unknown fields disallowed and
// exact case would, and collects every complaint on the way. A null leaves the zero value, as in JSON.
// What is wrong leaves the zero value too, and the rest is filled.
func (v Value) Decode(into any) Problems {
	d := decoder{file: v.file, secret: v.secret}
	d.decode(v.node, reflect.ValueOf(into).Elem(), nil)
	return d.problems
}

type decoder struct {
	file     string
	secret   bool // complaints do not quote what is wrong
	problems Problems
}

func (d *decoder) complain(n *yaml.Node, path *field.Path, format string, args ...any) {
	d.problems = append(d.problems, Problem{Position{d.file, n.Line, n.Column}, pathText(path), fmt.Sprintf(format, args...)})
}

func (d *decoder) decode(n *yaml.Node, into reflect.Value, path *field.Path) {
	n = follow(n)
	if isNull(n) {
		return
	}
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	if u, ok := into.Addr().Interface().(json.Unmarshaler); ok {
		d.unmarshal(n, u, path)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		d.structure(n, into, path)
	case reflect.Map:
		d.mapping(n, into, path)
	case reflect.Slice:
		if into.Type().Elem().Kind() == reflect.Uint8 && (n.Kind != yaml.SequenceNode || len(n.Content) > 0) { // JSON takes [] for no bytes
			d.bytes(n, into, path)
			return
		}
		d.list(n, into, path)
	default:
		d.scalar(n, into, path)
	}
}

func (d *decoder) entries(n *yaml.Node, path *field.Path) []entry {
	return entries(n, func(at *yaml.Node, key, text string) {
		where := path
		if key != "" {
			where = child(path, shorten(key))
		}
		d.complain(at, where, "%s", text)
	})
}

func (d *decoder) structure(n *yaml.Node, into reflect.Value, path *field.Path) {
	if n.Kind != yaml.MappingNode {
		d.mismatch(n, path, "a mapping")
		return
	}
	fields := fieldsOf(into.Type())
	for _, e := range d.entries(n, path) {
		f, known := fields.byName[e.key]
		if !known {
			d.unknown(e, fields, path)
			continue
		}
		d.decode(e.value, into.FieldByIndex(f), child(path, e.key))
	}
}

// UnknownField is the text of a complaint about a field that a type does not have, where none of its fields has
// a name that is near.
const UnknownField = "unknown field"

func (d *decoder) unknown(e entry, fields structFields, path *field.Path) {
	text := UnknownField
	if near := Suggest(e.key, fields.names); near != "" {
		text += fmt.Sprintf(", did you mean %q?", near)
	}
	d.complain(e.keyNode, child(path, shorten(e.key)), "%s", text)
}

func (d *decoder) mapping(n *yaml.Node, into reflect.Value, path *field.Path) {
	if n.Kind != yaml.MappingNode {
		d.mismatch(n, path, "a mapping")
		return
	}
	t := into.Type()
	into.Set(reflect.MakeMap(t))
	for _, e := range d.entries(n, path) {
		value := reflect.New(t.Elem()).Elem()
		d.decode(e.value, value, path.Key(shorten(written(e))))
		into.SetMapIndex(reflect.ValueOf(e.key).Convert(t.Key()), value)
	}
}

// written is a key as the document has it: yes, where it means true.
func written(e entry) string {
	if n := follow(e.keyNode); n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return e.key
}

func (d *decoder) list(n *yaml.Node, into reflect.Value, path *field.Path) {
	if n.Kind != yaml.SequenceNode {
		d.mismatch(n, path, "a list")
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.decode(item, into.Index(i), path.Index(i))
	}
}

func (d *decoder) bytes(n *yaml.Node, into reflect.Value, path *field.Path) {
	value, ok := d.value(n, path, "base64 text")
	if !ok {
		return
	}
	text, ok := value.(string)
	if !ok {
		d.mismatch(n, path, "base64 text")
		return
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		d.complain(n, path, "must be base64: %v", err)
		return
	}
	into.SetBytes(b)
}

// value is the meaning of a scalar node. For any other node, and for a scalar that contradicts its tag, it
// complains and answers false.
func (d *decoder) value(n *yaml.Node, path *field.Path, want string) (any, bool) {
	if n.Kind != yaml.ScalarNode {
		d.mismatch(n, path, want)
		return nil, false
	}
	v, err := scalar(n)
	if err != nil {
		d.complain(n, path, "%v", err)
	}
	return v, err == nil
}

func (d *decoder) scalar(n *yaml.Node, into reflect.Value, path *field.Path) {
	value, ok := d.value(n, path, wanted(into.Kind()))
	if !ok {
		return
	}
	switch into.Kind() {
	case reflect.String:
		if text, ok := value.(string); ok {
			into.SetString(text)
			return
		}
	case reflect.Bool:
		if b, ok := value.(bool); ok {
			into.SetBool(b)
			return
		}
	case reflect.Int, reflect.Int32, reflect.Int64:
		i, whole := integer(value)
		if whole && !into.OverflowInt(i) {
			into.SetInt(i)
			return
		}
		if _, huge := value.(uint64); whole || huge {
			d.complain(n, path, "the number %s is out of range", shorten(n.Value))
			return
		}
	}
	d.mismatch(n, path, wanted(into.Kind()))
}

// integer takes a number that JSON would write without a fraction: 1e3 and 5.0 are whole numbers there.
func integer(value any) (int64, bool) {
	switch x := value.(type) {
	case int64:
		return x, true
	case float64:
		return int64(x), x == math.Trunc(x) && math.Abs(x) < 1<<53
	}
	return 0, false
}

func wanted(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	}
	return "a whole number"
}

// mismatch complains of a value of the wrong type, and says how a scalar would be written right.
func (d *decoder) mismatch(n *yaml.Node, path *field.Path, want string) {
	if d.secret {
		d.complain(n, path, "must be %s, found %s%s", want, kindOf(n), secretHint(n, want))
		return
	}
	text := fmt.Sprintf("must be %s, found %s", want, describe(n))
	if n.Kind == yaml.ScalarNode {
		plainMeaning := plain(n.Value)
		_, isText := plainMeaning.(string)
		_, isBool := plainMeaning.(bool)
		_, isNumber := integer(plainMeaning)
		switch {
		case want == "a string" && n.Style == 0 && !isText:
			text += fmt.Sprintf(": write %q, in quotes", shorten(n.Value))
		case want == "true or false" && isBool, want == "a whole number" && isNumber && n.Style != 0:
			text += fmt.Sprintf(": write %s, without quotes", shorten(n.Value))
		}
	}
	d.complain(n, path, "%s", text)
}

// secretHint is what helps most: a number or a word such as yes as a value.
func secretHint(n *yaml.Node, want string) string {
	if want == "a string" && n.Kind == yaml.ScalarNode && n.Style == 0 {
		return ": write it in quotes"
	}
	return ""
}

// structFields are the json names of a struct's fields, those of embedded structs among them.
type structFields struct {
	names  []string // sorted
	byName map[string][]int
}

var knownStructs sync.Map // reflect.Type -> structFields

func fieldsOf(t reflect.Type) structFields {
	if known, ok := knownStructs.Load(t); ok {
		return known.(structFields)
	}
	f := structFields{byName: map[string][]int{}}
	f.add(t, nil)
	for name := range f.byName {
		f.names = append(f.names, name)
	}
	slices.Sort(f.names)
	knownStructs.Store(t, f)
	return f
}

func (f structFields) add(t reflect.Type, prefix []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		index := append(slices.Clone(prefix), i)
		name := jsonName(sf)
		switch {
		case name == "" && sf.Anonymous:
			f.add(sf.Type, index)
		case name != "" && name != "-":
			f.byName[name] = index
		}
	}
}

// jsonText is the JSON of a node, for the few types that decode themselves.
func jsonText(n *yaml.Node) ([]byte, error) {
	value, err := jsonValue(n)
	if err != nil {
		return nil, err
	}
	return json.Marshal(value)
}

func jsonValue(n *yaml.Node) (any, error) {
	n = follow(n)
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for _, e := range entries(n, nil) {
			v, err := jsonValue(e.value)
			if err != nil {
				return nil, err
			}
			m[e.key] = v
		}
		return m, nil
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			v, err := jsonValue(item)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	}
	v, err := scalar(n)
	if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return nil, fmt.Errorf("%s is no number that JSON knows", strconv.Quote(n.Value))
	}
	return v, err
}
