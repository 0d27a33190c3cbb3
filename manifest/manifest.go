// Package manifest turns the bytes of Kubernetes manifests into typed, defaulted and validated objects, and
// says where each complaint stands. It owns which kinds and which fields podrun honours (one table, see
// fields.go), their defaults, the references between objects, and the environment that a container's env
// and envFrom come to. It leaves to document how YAML is read, to check the rules for values, to its caller
// where the bytes come from, and to runtime, volumes and pod what the fields do. It does no I/O.
package manifest

import (
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"podrun/manifest/check"
	"podrun/manifest/document"
)

// Source is one file, as read by the caller. Name is what complaints call it: a path, "-" or a URL.
type Source struct {
	Name string
	Data []byte
}

// Options are what a command line says about all objects.
type Options struct {
	Namespace    string // for objects that name none; empty means default
	NamespaceSet bool   // Namespace was asked for: an object of another one is a complaint, as in kubectl
}

// Position is a place in a source.
type Position = document.Position

// Problem is one complaint: file:line:col: field.path: text.
type Problem = document.Problem

// Problems are all complaints at once, in the order of the sources and of their lines.
type Problems = document.Problems

// Note is an accepted field that does nothing here, and why.
type Note struct {
	Position
	Path, Text string
}

// Skipped is an object of a well-known kind that podrun does not run, beside a Pod.
type Skipped struct {
	Position
	Kind, Name string
}

// Objects is what a set of sources holds. The objects are defaulted and belong to the caller.
type Objects struct {
	Pods       []*v1.Pod
	ConfigMaps []*v1.ConfigMap
	Secrets    []*v1.Secret
	Claims     []*v1.PersistentVolumeClaim
	Skipped    []Skipped
	Ignored    []Note

	places map[metav1.Object]document.Value
}

// Parse reads all sources. The error is of type Problems and holds every complaint about every source; the
// objects that nothing is wrong with are returned beside it.
func Parse(sources []Source, o Options) (*Objects, error) {
	p := parser{
		options: o,
		objects: &Objects{places: map[metav1.Object]document.Value{}},
		names:   map[string]Position{},
	}
	var problems Problems
	for _, s := range sources {
		values, syntax := document.Read(s.Name, s.Data)
		p.problems = syntax
		for _, v := range values {
			p.object(v, typeMeta{})
		}
		problems = append(problems, p.problems.Sort()...)
	}
	if len(p.objects.Pods) == 0 && len(problems) == 0 {
		kept := len(p.objects.ConfigMaps)+len(p.objects.Secrets)+len(p.objects.Claims) > 0
		for _, s := range p.objects.Skipped {
			if kept && templates[s.Kind] == "" { // what goes along with configuration
				continue
			}
			problems = append(problems, Problem{Position: s.Position, Path: "kind", Text: unsupported(s.Kind)})
		}
	}
	if len(problems) > 0 {
		return p.objects, problems
	}
	return p.objects, nil
}

// ProblemAt is a complaint about a field of one of these objects, where its manifest has it.
func (o *Objects) ProblemAt(object metav1.Object, path, text string) Problem {
	return o.places[object].ProblemAt(path, text)
}

type parser struct {
	options  Options
	objects  *Objects
	names    map[string]Position // kind namespace/name -> where it was first
	problems Problems            // of the source that is being read
}

func (p *parser) add(problems ...Problem) { p.problems = append(p.problems, problems...) }

// object reads one object; assumed is what the list around it says about kind and version.
func (p *parser) object(v document.Value, assumed typeMeta) {
	if !v.Mapping() {
		p.add(v.Problem("", "is no Kubernetes object: must be a mapping with apiVersion and kind, found %s", v.Describe()))
		return
	}
	t, ok := p.typeOf(v, assumed)
	if !ok {
		return
	}
	switch t {
	case typeMeta{"v1", "Pod"}:
		p.pod(v)
	case typeMeta{"v1", "ConfigMap"}:
		p.configMap(v)
	case typeMeta{"v1", "Secret"}:
		p.secret(v)
	case typeMeta{"v1", "PersistentVolumeClaim"}:
		p.claim(v)
	default:
		if item, ok := listOf(t); ok {
			p.list(v, item)
			return
		}
		p.objects.Skipped = append(p.objects.Skipped, Skipped{v.Locate("kind"), t.Kind, v.Field("metadata").Field("name").Text()})
	}
}

func (p *parser) list(v document.Value, item typeMeta) {
	items := v.Field("items")
	if items.Exists() && items.Items() == nil && items.Describe() != "a list" {
		p.add(items.Problem("items", "must be a list, found %s", items.Describe()))
	}
	for _, i := range items.Items() {
		p.object(i, item)
	}
}

func (p *parser) pod(v document.Value) {
	pod := &v1.Pod{}
	r := p.read(v, "Pod", pod, podFields())
	pod.Status = v1.PodStatus{}
	pod.Generation = 0 // a server begins to count anew
	setPodDefaults(pod)
	r.check(check.Pod(pod))
	if p.keep(r, pod) {
		p.objects.Pods = append(p.objects.Pods, pod)
	}
}

func (p *parser) configMap(v document.Value) {
	cm := &v1.ConfigMap{}
	r := p.read(v, "ConfigMap", cm, configMapFields())
	if cm.Data == nil {
		cm.Data = map[string]string{}
	}
	r.check(check.ConfigMap(cm))
	if p.keep(r, cm) {
		p.objects.ConfigMaps = append(p.objects.ConfigMaps, cm)
	}
}

func (p *parser) secret(v document.Value) {
	s := &v1.Secret{}
	r := p.read(v.Secret(), "Secret", s, secretFields())
	setSecretDefaults(s)
	r.check(check.Secret(s))
	if p.keep(r, s) {
		p.objects.Secrets = append(p.objects.Secrets, s)
	}
}

func (p *parser) claim(v document.Value) {
	c := &v1.PersistentVolumeClaim{}
	r := p.read(v, "PersistentVolumeClaim", c, claimFields())
	c.Status = v1.PersistentVolumeClaimStatus{}
	setClaimDefaults(&c.Spec)
	r.check(check.Claim(c))
	if p.keep(r, c) {
		p.objects.Claims = append(p.objects.Claims, c)
	}
}

// keep ends the reading of an object: it hands over what was found, and tells whether the object is sound.
func (p *parser) keep(r *reading, o metav1.Object) bool {
	p.objects.Ignored = append(p.objects.Ignored, r.notes...)
	o.SetGeneration(0)
	o.SetOwnerReferences(nil)
	o.SetFinalizers(nil)
	p.objects.places[o] = r.value
	if len(r.problems) == 0 {
		key := r.kind + " " + o.GetNamespace() + "/" + o.GetName()
		if first, taken := p.names[key]; taken {
			r.problems = append(r.problems, r.value.ProblemAt("metadata.name", key+" is already defined at "+first.String()))
		} else {
			p.names[key] = r.value.Position()
		}
	}
	p.add(r.problems...)
	return len(r.problems) == 0
}
