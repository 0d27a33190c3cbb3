package manifest

import (
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resources "k8s.io/component-helpers/resource"
)

// setPodDefaults fills in what upstream fills in (pkg/apis/core/v1/defaults.go), with one rule of podrun's
// own: an imagePullPolicy that is left out means IfNotPresent whatever the tag.
func setPodDefaults(pod *v1.Pod) {
	spec := &pod.Spec
	fill(&spec.DNSPolicy, v1.DNSClusterFirst)
	fill(&spec.RestartPolicy, v1.RestartPolicyAlways)
	fill(&spec.SchedulerName, v1.DefaultSchedulerName)
	point(&spec.TerminationGracePeriodSeconds, v1.DefaultTerminationGracePeriodSeconds)
	if *spec.TerminationGracePeriodSeconds < 0 {
		*spec.TerminationGracePeriodSeconds = 1 // as upstream's conversion of a Pod
	}
	point(&spec.EnableServiceLinks, v1.DefaultEnableServiceLinks)
	fill(&spec.ServiceAccountName, spec.DeprecatedServiceAccount) // one of the two names is enough
	spec.DeprecatedServiceAccount = spec.ServiceAccountName
	if spec.SecurityContext == nil {
		spec.SecurityContext = &v1.PodSecurityContext{}
	}
	for i := range spec.Volumes {
		setVolumeDefaults(&spec.Volumes[i])
	}
	for _, list := range [][]v1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			setContainerDefaults(&list[i], spec.HostNetwork)
			setRequests(&list[i].Resources)
		}
	}
	for i := range spec.EphemeralContainers {
		setContainerDefaults((*v1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon), false)
	}
	setPodResourceDefaults(pod)
}

// setPodResourceDefaults completes the resources of the pod itself, where it has any, after its containers'
// (upstream's defaultHugePagePodLimits and defaultPodRequests).
func setPodResourceDefaults(pod *v1.Pod) {
	r := pod.Spec.Resources
	if r == nil {
		return
	}
	for _, list := range []v1.ResourceList{r.Limits, r.Requests} {
		roundToMilli(list)
	}
	o := resources.PodResourcesOptions{}
	if len(r.Limits) > 0 || len(r.Requests) > 0 {
		for name, q := range resources.AggregateContainerLimits(pod, o) {
			if _, asked := r.Requests[name]; strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix) && !asked {
				fillQuantity(&r.Limits, name, q)
			}
		}
	}
	if len(r.Limits) == 0 {
		return
	}
	for name, q := range resources.AggregateContainerRequests(pod, o) {
		if name == v1.ResourceCPU || name == v1.ResourceMemory {
			fillQuantity(&r.Requests, name, q)
		}
	}
	for name, q := range r.Limits {
		if resources.IsSupportedPodLevelResource(name) {
			fillQuantity(&r.Requests, name, q)
		}
	}
}

func fillQuantity(list *v1.ResourceList, name v1.ResourceName, q resource.Quantity) {
	if _, set := (*list)[name]; set {
		return
	}
	if *list == nil {
		*list = v1.ResourceList{}
	}
	(*list)[name] = q.DeepCopy()
}

func setContainerDefaults(c *v1.Container, hostNetwork bool) {
	fill(&c.ImagePullPolicy, v1.PullIfNotPresent)
	fill(&c.TerminationMessagePath, v1.TerminationMessagePathDefault)
	fill(&c.TerminationMessagePolicy, v1.TerminationMessageReadFile)
	for i := range c.Ports {
		p := &c.Ports[i]
		fill(&p.Protocol, v1.ProtocolTCP)
		if hostNetwork {
			fill(&p.HostPort, p.ContainerPort)
		}
	}
	for i := range c.Env {
		if from := c.Env[i].ValueFrom; from != nil {
			setFieldDefaults(from.FieldRef)
			if from.FileKeyRef != nil {
				point(&from.FileKeyRef.Optional, false)
			}
		}
	}
	if l := c.Lifecycle; l != nil {
		for _, h := range []*v1.LifecycleHandler{l.PostStart, l.PreStop} {
			if h != nil {
				setHTTPDefaults(h.HTTPGet)
			}
		}
	}
	for _, p := range []*v1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		setProbeDefaults(p)
	}
	roundToMilli(c.Resources.Limits)
	roundToMilli(c.Resources.Requests)
}

// setRequests makes limits the requests that are left out.
func setRequests(r *v1.ResourceRequirements) {
	if r.Limits != nil && r.Requests == nil {
		r.Requests = v1.ResourceList{}
	}
	for name, q := range r.Limits {
		if _, set := r.Requests[name]; !set {
			r.Requests[name] = q.DeepCopy()
		}
	}
}

func roundToMilli(list v1.ResourceList) {
	for name, q := range list {
		q.RoundUp(resource.Milli)
		list[name] = q
	}
}

func setProbeDefaults(p *v1.Probe) {
	if p == nil {
		return
	}
	fill(&p.TimeoutSeconds, 1)
	fill(&p.PeriodSeconds, 10)
	fill(&p.SuccessThreshold, 1)
	fill(&p.FailureThreshold, 3)
	setHTTPDefaults(p.HTTPGet)
	if p.GRPC != nil {
		point(&p.GRPC.Service, "")
	}
}

func setHTTPDefaults(get *v1.HTTPGetAction) {
	if get != nil {
		fill(&get.Path, "/")
		fill(&get.Scheme, v1.URISchemeHTTP)
	}
}

func setVolumeDefaults(v *v1.Volume) {
	if v.VolumeSource == (v1.VolumeSource{}) {
		v.EmptyDir = &v1.EmptyDirVolumeSource{}
	}
	if v.HostPath != nil {
		point(&v.HostPath.Type, v1.HostPathUnset)
	}
	if v.ConfigMap != nil {
		point(&v.ConfigMap.DefaultMode, v1.ConfigMapVolumeSourceDefaultMode)
	}
	if v.Secret != nil {
		point(&v.Secret.DefaultMode, v1.SecretVolumeSourceDefaultMode)
	}
	if v.DownwardAPI != nil {
		point(&v.DownwardAPI.DefaultMode, v1.DownwardAPIVolumeSourceDefaultMode)
		setDownwardDefaults(v.DownwardAPI.Items)
	}
	if e := v.Ephemeral; e != nil && e.VolumeClaimTemplate != nil {
		setClaimDefaults(&e.VolumeClaimTemplate.Spec)
	}
	if v.Image != nil {
		fill(&v.Image.PullPolicy, v1.PullIfNotPresent)
	}
	if v.Projected != nil {
		point(&v.Projected.DefaultMode, v1.ProjectedVolumeSourceDefaultMode)
		for _, s := range v.Projected.Sources {
			if s.DownwardAPI != nil {
				setDownwardDefaults(s.DownwardAPI.Items)
			}
		}
	}
}

func setDownwardDefaults(items []v1.DownwardAPIVolumeFile) {
	for i := range items {
		setFieldDefaults(items[i].FieldRef)
	}
}

func setFieldDefaults(ref *v1.ObjectFieldSelector) {
	if ref != nil {
		fill(&ref.APIVersion, "v1")
	}
}

// setSecretDefaults also moves stringData, which a server never shows, into data, where it wins.
func setSecretDefaults(s *v1.Secret) {
	fill(&s.Type, v1.SecretTypeOpaque)
	if len(s.StringData) > 0 && s.Data == nil {
		s.Data = map[string][]byte{}
	}
	for k, v := range s.StringData {
		s.Data[k] = []byte(v)
	}
	s.StringData = nil
}

func setClaimDefaults(spec *v1.PersistentVolumeClaimSpec) {
	point(&spec.VolumeMode, v1.PersistentVolumeFilesystem)
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func point[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
