package cli

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
)

func (p *page) volumes(volumes []v1.Volume) {
	if len(volumes) == 0 {
		p.field(0, "Volumes", "<none>")
		return
	}
	p.print(0, "Volumes:")
	for i := range volumes {
		p.print(1, volumes[i].Name+":")
		p.volume(&volumes[i].VolumeSource)
	}
}

func (p *page) volume(v *v1.VolumeSource) {
	switch {
	case v.EmptyDir != nil:
		p.field(2, "Type", "EmptyDir (a temporary directory that shares a pod's lifetime)")
		p.field(2, "Medium", v.EmptyDir.Medium)
		limit := "<unset>"
		if q := v.EmptyDir.SizeLimit; q != nil && !q.IsZero() {
			limit = q.String()
		}
		p.field(2, "SizeLimit", limit)
	case v.HostPath != nil:
		p.field(2, "Type", "HostPath (bare host directory volume)")
		p.field(2, "Path", v.HostPath.Path)
		kind := "<none>"
		if v.HostPath.Type != nil {
			kind = string(*v.HostPath.Type)
		}
		p.field(2, "HostPathType", kind)
	case v.Secret != nil:
		p.field(2, "Type", "Secret (a volume populated by a Secret)")
		p.field(2, "SecretName", v.Secret.SecretName)
		p.field(2, "Optional", isTrue(v.Secret.Optional))
	case v.ConfigMap != nil:
		p.field(2, "Type", "ConfigMap (a volume populated by a ConfigMap)")
		p.field(2, "Name", v.ConfigMap.Name)
		p.field(2, "Optional", isTrue(v.ConfigMap.Optional))
	case v.PersistentVolumeClaim != nil:
		p.field(2, "Type", "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)")
		p.field(2, "ClaimName", v.PersistentVolumeClaim.ClaimName)
		p.field(2, "ReadOnly", v.PersistentVolumeClaim.ReadOnly)
	case v.Ephemeral != nil:
		p.field(2, "Type", "EphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)")
	case v.Image != nil:
		p.field(2, "Type", "Image (a container image or OCI artifact)")
		p.field(2, "Reference", v.Image.Reference)
		p.field(2, "PullPolicy", v.Image.PullPolicy)
	case v.DownwardAPI != nil:
		p.field(2, "Type", "DownwardAPI (a volume populated by information about the pod)")
		p.print(2, "Items:")
		for _, item := range v.DownwardAPI.Items {
			switch {
			case item.FieldRef != nil:
				p.print(3, fmt.Sprintf("%s -> %s", item.FieldRef.FieldPath, item.Path))
			case item.ResourceFieldRef != nil:
				p.print(3, fmt.Sprintf("%s -> %s", item.ResourceFieldRef.Resource, item.Path))
			}
		}
	case v.Projected != nil:
		p.projected(v.Projected.Sources)
	}
}

func (p *page) projected(sources []v1.VolumeProjection) {
	p.field(2, "Type", "Projected (a volume that contains injected data from multiple sources)")
	for _, s := range sources {
		switch {
		case s.Secret != nil:
			p.field(2, "SecretName", s.Secret.Name)
			p.field(2, "Optional", isTrue(s.Secret.Optional))
		case s.ConfigMap != nil:
			p.field(2, "ConfigMapName", s.ConfigMap.Name)
			p.field(2, "Optional", isTrue(s.ConfigMap.Optional))
		case s.DownwardAPI != nil:
			p.field(2, "DownwardAPI", true)
		}
	}
}

func isTrue(b *bool) bool { return b != nil && *b }
