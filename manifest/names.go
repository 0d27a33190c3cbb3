package manifest

import (
	v1 "k8s.io/api/core/v1"
)

// Names are the objects beside it that a Pod refers to. A name may be there more than once.
type Names struct{ ConfigMaps, Secrets, Claims []string }

// NamesOf collects what a Pod refers to, whether it is optional or not.
func NamesOf(spec *v1.PodSpec) Names {
	var n Names
	for i := range spec.Volumes {
		n.volume(&spec.Volumes[i].VolumeSource)
	}
	for _, list := range [][]v1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			n.environment(list[i].EnvFrom, list[i].Env)
		}
	}
	for i := range spec.EphemeralContainers {
		n.environment(spec.EphemeralContainers[i].EnvFrom, spec.EphemeralContainers[i].Env)
	}
	return n
}

func (n *Names) volume(s *v1.VolumeSource) {
	switch {
	case s.ConfigMap != nil:
		n.ConfigMaps = append(n.ConfigMaps, s.ConfigMap.Name)
	case s.Secret != nil:
		n.Secrets = append(n.Secrets, s.Secret.SecretName)
	case s.PersistentVolumeClaim != nil:
		n.Claims = append(n.Claims, s.PersistentVolumeClaim.ClaimName)
	case s.Projected != nil:
		for _, p := range s.Projected.Sources {
			if p.ConfigMap != nil {
				n.ConfigMaps = append(n.ConfigMaps, p.ConfigMap.Name)
			}
			if p.Secret != nil {
				n.Secrets = append(n.Secrets, p.Secret.Name)
			}
		}
	}
}

func (n *Names) environment(from []v1.EnvFromSource, env []v1.EnvVar) {
	for _, f := range from {
		if f.ConfigMapRef != nil {
			n.ConfigMaps = append(n.ConfigMaps, f.ConfigMapRef.Name)
		}
		if f.SecretRef != nil {
			n.Secrets = append(n.Secrets, f.SecretRef.Name)
		}
	}
	for _, e := range env {
		if e.ValueFrom == nil {
			continue
		}
		if r := e.ValueFrom.ConfigMapKeyRef; r != nil {
			n.ConfigMaps = append(n.ConfigMaps, r.Name)
		}
		if r := e.ValueFrom.SecretKeyRef; r != nil {
			n.Secrets = append(n.Secrets, r.Name)
		}
	}
}
