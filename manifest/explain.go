package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"podrun/manifest/document"
)

// FieldInfo is one row of the field table.
type FieldInfo struct {
	Path   string // spec.containers[].image
	Type   string
	Class  string // honoured, no meaning here, or refused
	Reason string // why it is not honoured, and what to use instead; a note for an honoured one
	Inside string // the field around it that its class comes from, where that is not its own
	Below  []FieldInfo
}

// knownKind is a kind that is read, with its fields.
type knownKind struct {
	name   string
	short  []string // what kubectl takes for it
	typ    reflect.Type
	fields func() fieldTable
}

var knownKinds = []knownKind{
	{"Pod", []string{"pod", "pods", "po"}, reflect.TypeFor[v1.Pod](), podFields},
	{"ConfigMap", []string{"configmap", "configmaps", "cm"}, reflect.TypeFor[v1.ConfigMap](), configMapFields},
	{"Secret", []string{"secret", "secrets"}, reflect.TypeFor[v1.Secret](), secretFields},
	{"PersistentVolumeClaim", []string{"persistentvolumeclaim", "persistentvolumeclaims", "pvc"}, reflect.TypeFor[v1.PersistentVolumeClaim](), claimFields},
}

var brackets = regexp.MustCompile(`\[[^\]]*\]`)

// Explain tells what podrun makes of a field, and of those right below it. The path is one of a complaint or of kubectl
// explain: spec.containers[0].image, spec.containers.image, pod.spec.containers.image; of a Pod unless it begins with
// another kind.
func Explain(path string) (FieldInfo, error) {
	kind := knownKinds[0]
	steps := strings.FieldsFunc(brackets.ReplaceAllString(path, ""), func(r rune) bool { return r == '.' })
	if len(steps) > 0 {
		for _, k := range knownKinds {
			for _, short := range k.short {
				if strings.EqualFold(steps[0], short) {
					info, err := k.explain(steps[1:])
					return k.qualify(info), err
				}
			}
		}
		if other := wellKnownKind(steps[0]); other != "" {
			return FieldInfo{}, errors.New(unsupported(other))
		}
	}
	return kind.explain(steps)
}

func (k knownKind) explain(steps []string) (FieldInfo, error) {
	t, pattern := k.typ, ""
	for _, step := range steps {
		members := document.Members(t)
		if len(members) == 0 {
			return FieldInfo{}, fmt.Errorf("%s is %s: it has no field %q", pattern, typeName(t), step)
		}
		next := member(members, step)
		if next == nil {
			return FieldInfo{}, k.unknown(t, pattern, step)
		}
		pattern, t = document.Extend(pattern, t, next.Name), next.Type
	}
	info := FieldInfo{Path: k.name, Type: "a top-level object of apiVersion v1", Class: honoured.String()}
	if pattern != "" {
		info = k.row(pattern, t)
	}
	for _, m := range document.Members(t) {
		info.Below = append(info.Below, k.row(document.Extend(pattern, t, m.Name), m.Type))
	}
	return info, nil
}

// qualify puts the kind before the paths, as Explain reads them, where it is not a Pod.
func (k knownKind) qualify(info FieldInfo) FieldInfo {
	if k.name == "Pod" || info.Path == k.name {
		return info
	}
	info.Path = k.short[0] + "." + info.Path
	if info.Inside != "" {
		info.Inside = k.short[0] + "." + info.Inside
	}
	for i := range info.Below {
		info.Below[i].Path = k.short[0] + "." + info.Below[i].Path
	}
	return info
}

func (k knownKind) row(pattern string, t reflect.Type) FieldInfo {
	r := k.fields().rule(pattern)
	info := FieldInfo{Path: pattern, Type: typeName(t), Class: r.class.String(), Reason: r.reason}
	for i := range len(pattern) {
		if around := strings.TrimSuffix(pattern[:i], "[]"); pattern[i] == '.' && k.fields().rule(around).class != honoured {
			info.Inside = around
			break
		}
	}
	return info
}

// unknown says which field was probably meant: a neighbour, or one of that name anywhere.
func (k knownKind) unknown(t reflect.Type, pattern, step string) error {
	var names []string
	for _, m := range document.Members(t) {
		names = append(names, m.Name)
	}
	where := k.name
	if pattern != "" {
		where = pattern
	}
	if near := document.Suggest(step, names); near != "" {
		return fmt.Errorf("%s has no field %q, did you mean %q?", where, step, document.Extend(pattern, t, near))
	}
	for _, p := range document.Patterns(k.typ) {
		if p == step || strings.HasSuffix(p, "."+step) {
			return fmt.Errorf("%s has no field %q, did you mean %q?", where, step, p)
		}
	}
	return fmt.Errorf("%s has no field %q; it has %s", where, step, strings.Join(names, ", "))
}

func member(members []document.Member, name string) *document.Member {
	for i := range members {
		if members[i].Name == name {
			return &members[i]
		}
	}
	return nil
}

// typeName is how people call a type.
func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[resource.Quantity]():
		return "quantity"
	case reflect.TypeFor[intstr.IntOrString]():
		return "integer or string"
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime]():
		return "time"
	case reflect.TypeFor[[]byte]():
		return "base64 text"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Map:
		return "map of " + typeName(t.Key()) + " to " + typeName(t.Elem())
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int32, reflect.Int64, reflect.Int:
		return "integer"
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return "any value"
	}
	return t.Name()
}
