package manifest

import (
	"fmt"
	"reflect"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"podrun/manifest/check"
	"podrun/manifest/document"
)

// reading is the way of one object from its document to a sound value.
type reading struct {
	value    document.Value
	kind     string
	problems Problems
	notes    []Note
	blamed   []string // paths already complained about: nothing that follows from them is worth a line
}

// read decodes an object and holds its fields against a table.
func (p *parser) read(v document.Value, kind string, into object, fields fieldTable) *reading {
	r := &reading{value: v, kind: kind}
	r.problems = v.Decode(into)
	for i := range r.problems {
		r.problems[i].Text += misplaced(reflect.TypeOf(into), fields, r.problems[i])
	}
	for _, problem := range r.problems {
		r.blame(problem)
	}
	v.Walk(into, func(f document.Field) bool { return r.field(f, fields) })
	p.meta(r, into)
	into.GetObjectKind().SetGroupVersionKind(v1.SchemeGroupVersion.WithKind(kind)) // an item of a PodList may leave it out
	return r
}

type object interface {
	metav1.Object
	runtime.Object
}

// blame remembers a complaint's path. A misspelt field stands for the one that was meant, too: a Pod with
// conatiners has one mistake, not two.
func (r *reading) blame(p Problem) {
	r.blamed = append(r.blamed, p.Path)
	if _, meant, ok := strings.Cut(p.Text, "did you mean \""); ok {
		parent := p.Path[:strings.LastIndex(p.Path, ".")+1]
		r.blamed = append(r.blamed, parent+strings.TrimSuffix(meant, "\"?"))
	}
}

func (r *reading) field(f document.Field, fields fieldTable) bool {
	rule, _ := fields.own(f.Pattern) // what is around it is honoured: else Walk would not come here
	switch {
	case rule.class == honoured, harmless(f.Value, rule):
		return rule.class == honoured
	case rule.class == ignored:
		r.notes = append(r.notes, Note{f.Position, f.Path.String(), rule.reason})
	case r.explained(f.Path.String()): // has the wrong type, too
	default:
		text := "is not supported by podrun"
		if rule.reason != "" {
			text += ": " + rule.reason
		}
		r.problems = append(r.problems, Problem{Position: f.Position, Path: f.Path.String(), Text: text})
		r.blamed = append(r.blamed, f.Path.String())
	}
	return false
}

// check adds the complaints of a validation, without those that an earlier complaint explains.
func (r *reading) check(errs field.ErrorList) {
	for _, e := range errs {
		if text, ok := e.BadValue.(string); ok && len(text) > 100 {
			e.BadValue = strings.ToValidUTF8(text[:100], "") + "…"
		}
		if place := check.Place(e); !r.explained(e.Field) && !r.explained(place) {
			r.problems = append(r.problems, Problem{Position: r.value.Locate(place), Path: e.Field, Text: check.Text(e)})
		}
	}
}

func (r *reading) explained(path string) bool {
	for _, b := range r.blamed {
		if rest, ok := strings.CutPrefix(path, b); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// meta settles the namespace, and takes away what only a server sets.
func (p *parser) meta(r *reading, o metav1.Object) {
	wanted := p.options.Namespace
	if wanted == "" {
		wanted = metav1.NamespaceDefault
	}
	switch own := o.GetNamespace(); {
	case own == "":
		o.SetNamespace(wanted)
	case own != wanted && p.options.NamespaceSet:
		r.problems = append(r.problems, r.value.ProblemAt("metadata.namespace",
			fmt.Sprintf("is %q, but the namespace asked for is %q", own, wanted)))
	}
	o.SetUID("")
	o.SetResourceVersion("")
	o.SetCreationTimestamp(metav1.Time{})
	o.SetDeletionTimestamp(nil)
	o.SetDeletionGracePeriodSeconds(nil)
	o.SetManagedFields(nil)
	o.SetSelfLink("")
}
