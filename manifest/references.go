package manifest

import (
	"fmt"
	"maps"

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
	var problems Problems
	g := gatherer{
		namespace: pod.Namespace,
		have: References{
			ConfigMaps: over(o.ConfigMaps, kept.ConfigMaps, pod.Namespace),
			Secrets:    over(o.Secrets, kept.Secrets, pod.Namespace),
			Claims:     over(o.Claims, kept.Claims, pod.Namespace),
		},
		complain: func(at *field.Path, text string) { problems = append(problems, o.ProblemAt(pod, at.String(), text)) },
	}
	g.spec(&pod.Spec)
	return problems.Sort()
}

// Lacks tells whether a Pod refers to something that is not optional and not there.
func Lacks(pod *v1.Pod, have References) bool {
	lacks := false
	g := gatherer{namespace: pod.Namespace, have: have, complain: func(*field.Path, string) { lacks = true }}
	g.spec(&pod.Spec)
	return lacks
}

// Lacking tells in words what a Pod refers to that is not optional and not there.
func Lacking(pod *v1.Pod, have References) []string {
	var list []string
	g := gatherer{namespace: pod.Namespace, have: have, complain: func(at *field.Path, text string) { list = append(list, at.String()+": "+text) }}
	g.spec(&pod.Spec)
	return list
}

// over is the kept objects with those of the sources in their places.
func over[T any, P interface {
	*T
	metav1.Object
}](sources []P, kept map[string]P, namespace string) map[string]P {
	all := make(map[string]P, len(kept))
	maps.Copy(all, kept)
	for _, o := range sources {
		if o.GetNamespace() == namespace {
			all[o.GetName()] = o
		}
	}
	return all
}

// MissingVolumes tells which volumes of a Pod cannot be mounted, because something that is not optional is
// not there, and why, in the kubelet's words. Volumes that no container mounts do not count.
func MissingVolumes(pod *v1.Pod, have References) []error {
	var faults []error
	mounted := MountedVolumes(&pod.Spec)
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if !mounted[v.Name] {
			continue
		}
		g := gatherer{namespace: pod.Namespace, have: have, complain: func(_ *field.Path, text string) {
			faults = append(faults, fmt.Errorf("MountVolume.SetUp failed for volume %q : %s", v.Name, text))
		}}
		g.volume(&v.VolumeSource, field.NewPath("spec"))
	}
	return faults
}

// MountedVolumes are the names of the volumes that a container mounts: the others are not made, as under the kubelet.
func MountedVolumes(spec *v1.PodSpec) map[string]bool {
	names := map[string]bool{}
	for _, list := range [][]v1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			for _, m := range list[i].VolumeMounts {
				names[m.Name] = true
			}
		}
	}
	return names
}

// gatherer walks over the references of a Pod and complains of those that lead nowhere.
type gatherer struct {
	namespace string
	have      References
	complain  func(at *field.Path, text string)
}

func (g *gatherer) spec(spec *v1.PodSpec) {
	path := field.NewPath("spec")
	mounted := MountedVolumes(spec)
	for i := range spec.Volumes {
		if mounted[spec.Volumes[i].Name] {
			g.volume(&spec.Volumes[i].VolumeSource, path.Child("volumes").Index(i))
		}
	}
	for i := range spec.InitContainers {
		g.container(&spec.InitContainers[i], path.Child("initContainers").Index(i))
	}
	for i := range spec.Containers {
		g.container(&spec.Containers[i], path.Child("containers").Index(i))
	}
}

func (g *gatherer) volume(s *v1.VolumeSource, path *field.Path) {
	switch {
	case s.ConfigMap != nil:
		c := s.ConfigMap
		g.configMapItems(path.Child("configMap"), c.Name, c.Items, c.Optional)
	case s.Secret != nil:
		c := s.Secret
		g.secretItems(path.Child("secret"), "secretName", c.SecretName, c.Items, c.Optional)
	case s.Projected != nil:
		for i, p := range s.Projected.Sources {
			at := path.Child("projected", "sources").Index(i)
			if c := p.ConfigMap; c != nil {
				g.configMapItems(at.Child("configMap"), c.Name, c.Items, c.Optional)
			}
			if c := p.Secret; c != nil {
				g.secretItems(at.Child("secret"), "name", c.Name, c.Items, c.Optional)
			}
		}
	case s.PersistentVolumeClaim != nil:
		if name := s.PersistentVolumeClaim.ClaimName; g.have.Claims[name] == nil {
			g.complain(path.Child("persistentVolumeClaim", "claimName"), notFound("persistentvolumeclaim", name))
		}
	}
}

func (g *gatherer) configMapItems(at *field.Path, name string, items []v1.KeyToPath, opt *bool) {
	cm := g.configMap(name, opt, at.Child("name"))
	for i, item := range items {
		if cm != nil && !optional(opt) && !hasKey(cm, item.Key) {
			g.complain(at.Child("items").Index(i).Child("key"), "configmap references non-existent config key: "+item.Key)
		}
	}
}

func (g *gatherer) secretItems(at *field.Path, nameField, name string, items []v1.KeyToPath, opt *bool) {
	secret := g.secret(name, opt, at.Child(nameField))
	for i, item := range items {
		if secret == nil || optional(opt) {
			break
		}
		if _, ok := secret.Data[item.Key]; !ok {
			g.complain(at.Child("items").Index(i).Child("key"), "references non-existent secret key: "+item.Key)
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
				g.complain(at.Child("key"), missingKey(r.Key, "ConfigMap", g.namespace, r.Name))
			}
		}
	}
	if r := from.SecretKeyRef; r != nil {
		at := path.Child("secretKeyRef")
		secret := g.secret(r.Name, r.Optional, at.Child("name"))
		if secret != nil && !optional(r.Optional) {
			if _, ok := secret.Data[r.Key]; !ok {
				g.complain(at.Child("key"), missingKey(r.Key, "Secret", g.namespace, r.Name))
			}
		}
	}
}

// configMap is nil if there is none, which is a complaint unless it is optional.
func (g *gatherer) configMap(name string, opt *bool, at *field.Path) *v1.ConfigMap {
	found := g.have.ConfigMaps[name]
	if found == nil && !optional(opt) {
		g.complain(at, notFound("configmap", name))
	}
	return found
}

func (g *gatherer) secret(name string, opt *bool, at *field.Path) *v1.Secret {
	found := g.have.Secrets[name]
	if found == nil && !optional(opt) {
		g.complain(at, notFound("secret", name))
	}
	return found
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
