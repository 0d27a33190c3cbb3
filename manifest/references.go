package manifest

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// References are the objects that one Pod names, by name, as far as there are any.
type References struct {
	ConfigMaps map[string]*v1.ConfigMap
	Secrets    map[string]*v1.Secret
	Claims     map[string]*v1.PersistentVolumeClaim
}

// Missing tells what a Pod of these objects refers to and nobody has: each object, or key of it, that is
// not optional is a Problem at the place of the reference. kept are objects of earlier ups; those of the
// sources go before them.
func (o *Objects) Missing(pod *v1.Pod, kept References) Problems {
	g := gatherer{objects: o, pod: pod, kept: kept}
	spec, path := &pod.Spec, field.NewPath("spec")
	for i := range spec.Volumes {
		g.volume(&spec.Volumes[i].VolumeSource, path.Child("volumes").Index(i))
	}
	for i := range spec.InitContainers {
		g.container(&spec.InitContainers[i], path.Child("initContainers").Index(i))
	}
	for i := range spec.Containers {
		g.container(&spec.Containers[i], path.Child("containers").Index(i))
	}
	return g.problems.Sort()
}

type gatherer struct {
	objects  *Objects
	pod      *v1.Pod
	kept     References
	problems Problems
}

func (g *gatherer) complain(path *field.Path, format string, args ...any) {
	g.problems = append(g.problems, g.objects.places[g.pod].ProblemAt(path.String(), fmt.Sprintf(format, args...)))
}

func (g *gatherer) volume(s *v1.VolumeSource, path *field.Path) {
	if c := s.ConfigMap; c != nil {
		at := path.Child("configMap")
		g.configMapItems(c.Name, c.Items, c.Optional, at.Child("name"), at.Child("items"))
	}
	if c := s.Secret; c != nil {
		at := path.Child("secret")
		g.secretItems(c.SecretName, c.Items, c.Optional, at.Child("secretName"), at.Child("items"))
	}
	if p := s.Projected; p != nil {
		for i := range p.Sources {
			g.source(&p.Sources[i], path.Child("projected", "sources").Index(i))
		}
	}
	if c := s.PersistentVolumeClaim; c != nil {
		g.claim(c.ClaimName, path.Child("persistentVolumeClaim", "claimName"))
	}
}

// source is one source of a projected volume.
func (g *gatherer) source(s *v1.VolumeProjection, path *field.Path) {
	if c := s.ConfigMap; c != nil {
		at := path.Child("configMap")
		g.configMapItems(c.Name, c.Items, c.Optional, at.Child("name"), at.Child("items"))
	}
	if c := s.Secret; c != nil {
		at := path.Child("secret")
		g.secretItems(c.Name, c.Items, c.Optional, at.Child("name"), at.Child("items"))
	}
}

func (g *gatherer) configMapItems(name string, items []v1.KeyToPath, opt *bool, at, itemsAt *field.Path) {
	cm := g.configMap(name, opt, at)
	for i, item := range items {
		if cm != nil && !optional(opt) && !hasKey(cm, item.Key) {
			g.complain(itemsAt.Index(i).Child("key"), "configmap references non-existent config key: %s", item.Key)
		}
	}
}

func (g *gatherer) secretItems(name string, items []v1.KeyToPath, opt *bool, at, itemsAt *field.Path) {
	secret := g.secret(name, opt, at)
	for i, item := range items {
		if secret == nil || optional(opt) {
			break
		}
		if _, ok := secret.Data[item.Key]; !ok {
			g.complain(itemsAt.Index(i).Child("key"), "references non-existent secret key: %s", item.Key)
		}
	}
}

func (g *gatherer) container(c *v1.Container, path *field.Path) {
	for i, from := range c.EnvFrom {
		at := path.Child("envFrom").Index(i)
		if r := from.ConfigMapRef; r != nil {
			g.configMap(r.Name, r.Optional, at.Child("configMapRef", "name"))
		}
		if r := from.SecretRef; r != nil {
			g.secret(r.Name, r.Optional, at.Child("secretRef", "name"))
		}
	}
	for i, e := range c.Env {
		if e.ValueFrom != nil {
			g.env(e.ValueFrom, path.Child("env").Index(i).Child("valueFrom"))
		}
	}
}

func (g *gatherer) env(from *v1.EnvVarSource, path *field.Path) {
	if r := from.ConfigMapKeyRef; r != nil {
		at := path.Child("configMapKeyRef")
		cm := g.configMap(r.Name, r.Optional, at.Child("name"))
		if cm != nil && !optional(r.Optional) {
			if _, ok := cm.Data[r.Key]; !ok {
				g.complain(at.Child("key"), "%s", missingKey(r.Key, "ConfigMap", g.pod.Namespace, r.Name))
			}
		}
	}
	if r := from.SecretKeyRef; r != nil {
		at := path.Child("secretKeyRef")
		secret := g.secret(r.Name, r.Optional, at.Child("name"))
		if secret != nil && !optional(r.Optional) {
			if _, ok := secret.Data[r.Key]; !ok {
				g.complain(at.Child("key"), "%s", missingKey(r.Key, "Secret", g.pod.Namespace, r.Name))
			}
		}
	}
}

// configMap finds a ConfigMap of the Pod's namespace; nil if there is none, which is a Problem unless it is optional.
func (g *gatherer) configMap(name string, opt *bool, at *field.Path) *v1.ConfigMap {
	found := named(g.objects.ConfigMaps, g.kept.ConfigMaps, g.pod.Namespace, name)
	if found == nil && !optional(opt) {
		g.complain(at, "%s", notFound("configmap", name))
	}
	return found
}

func (g *gatherer) secret(name string, opt *bool, at *field.Path) *v1.Secret {
	found := named(g.objects.Secrets, g.kept.Secrets, g.pod.Namespace, name)
	if found == nil && !optional(opt) {
		g.complain(at, "%s", notFound("secret", name))
	}
	return found
}

func (g *gatherer) claim(name string, at *field.Path) {
	if named(g.objects.Claims, g.kept.Claims, g.pod.Namespace, name) == nil {
		g.complain(at, "%s", notFound("persistentvolumeclaim", name))
	}
}

// named finds an object in the sources, or among the kept ones.
func named[T any, P interface {
	*T
	metav1.Object
}](sources []P, kept map[string]P, namespace, name string) P {
	for _, o := range sources {
		if o.GetName() == name && o.GetNamespace() == namespace {
			return o
		}
	}
	return kept[name]
}

func hasKey(cm *v1.ConfigMap, key string) bool {
	_, text := cm.Data[key]
	_, binary := cm.BinaryData[key]
	return text || binary
}

func optional(o *bool) bool { return o != nil && *o }

// The words of the two complaints are the kubelet's, which people search for.

func notFound(kind, name string) string { return fmt.Sprintf("%s %q not found", kind, name) }

func missingKey(key, kind, namespace, name string) string {
	return fmt.Sprintf("couldn't find key %s in %s %s/%s", key, kind, namespace, name)
}
