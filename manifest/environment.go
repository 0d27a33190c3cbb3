package manifest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"podrun/manifest/check"
)

// EnvSource is what a container's environment is made of.
type EnvSource struct {
	Pod       *v1.Pod // with UID, Spec.NodeName and the addresses in Status as the caller knows them
	Container *v1.Container
	References

	// What the machine has: the value of limits.cpu and limits.memory for a container without limits.
	NodeCPU, NodeMemory resource.Quantity
}

// Environment gives the variables that a container's envFrom and env come to, by the kubelet's rules
// (makeEnvironmentVariables): envFrom first, a later source over an earlier one, then env in order, whose
// values may refer to everything before them as $(NAME). A name appears once, where it was first set.
// Everything has a Value, nothing a ValueFrom. The image's own variables are not part of it. An error is
// worded as the kubelet words it in a container's CreateContainerConfigError.
func Environment(s EnvSource) ([]v1.EnvVar, error) {
	e := environment{index: map[string]int{}}
	for _, from := range s.Container.EnvFrom {
		if err := e.from(s, from); err != nil {
			return nil, err
		}
	}
	for _, v := range s.Container.Env {
		value, set := expand(v.Value, e.lookup), true
		if v.Value == "" && v.ValueFrom != nil {
			var err error
			if value, set, err = s.value(v.ValueFrom); err != nil {
				return nil, err
			}
		}
		if set {
			e.set(v.Name, value)
		}
	}
	return e.vars, nil
}

type environment struct {
	vars  []v1.EnvVar
	index map[string]int // of a name in vars
}

func (e *environment) set(name, value string) {
	if i, ok := e.index[name]; ok {
		e.vars[i].Value = value
		return
	}
	e.index[name] = len(e.vars)
	e.vars = append(e.vars, v1.EnvVar{Name: name, Value: value})
}

func (e *environment) lookup(name string) (string, bool) {
	i, ok := e.index[name]
	if !ok {
		return "", false
	}
	return e.vars[i].Value, true
}

// from sets every key of a ConfigMap or Secret. Any key will do as a name since Kubernetes 1.34 relaxed them.
func (e *environment) from(s EnvSource, from v1.EnvFromSource) error {
	switch {
	case from.ConfigMapRef != nil:
		cm, err := s.configMap(from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
		if cm == nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(cm.Data)) {
			e.set(from.Prefix+key, cm.Data[key])
		}
	case from.SecretRef != nil:
		secret, err := s.secret(from.SecretRef.Name, from.SecretRef.Optional)
		if secret == nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(secret.Data)) {
			e.set(from.Prefix+key, string(secret.Data[key]))
		}
	}
	return nil
}

// value resolves a valueFrom. set is false if something optional is missing: then the variable keeps an earlier value.
func (s EnvSource) value(from *v1.EnvVarSource) (value string, set bool, err error) {
	switch {
	case from.FieldRef != nil:
		value, err = s.field(from.FieldRef.FieldPath)
	case from.ResourceFieldRef != nil:
		value, err = s.resource(from.ResourceFieldRef)
	case from.ConfigMapKeyRef != nil:
		r := from.ConfigMapKeyRef
		cm, err := s.configMap(r.Name, r.Optional)
		if cm == nil {
			return "", false, err
		}
		text, ok := cm.Data[r.Key]
		if !ok && !optional(r.Optional) {
			err = errors.New(missingKey(r.Key, "ConfigMap", s.Pod.Namespace, r.Name))
		}
		return text, ok, err
	case from.SecretKeyRef != nil:
		r := from.SecretKeyRef
		secret, err := s.secret(r.Name, r.Optional)
		if secret == nil {
			return "", false, err
		}
		data, ok := secret.Data[r.Key]
		if !ok && !optional(r.Optional) {
			err = errors.New(missingKey(r.Key, "Secret", s.Pod.Namespace, r.Name))
		}
		return string(data), ok, err
	}
	return value, err == nil, err
}

// configMap gives nil, and no error, for an optional one that is missing.
func (s EnvSource) configMap(name string, opt *bool) (*v1.ConfigMap, error) {
	cm := s.ConfigMaps[name]
	if cm == nil && !optional(opt) {
		return nil, errors.New(notFound("configmap", name))
	}
	return cm, nil
}

func (s EnvSource) secret(name string, opt *bool) (*v1.Secret, error) {
	secret := s.Secrets[name]
	if secret == nil && !optional(opt) {
		return nil, errors.New(notFound("secret", name))
	}
	return secret, nil
}

// field is the value of a fieldRef. A label or annotation that the Pod does not have is empty.
func (s EnvSource) field(path string) (string, error) {
	pod := s.Pod
	if base, key, ok := check.Subscript(path); ok {
		switch base {
		case "metadata.labels":
			return pod.Labels[key], nil
		case "metadata.annotations":
			return pod.Annotations[key], nil
		}
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		if pod.Spec.ServiceAccountName == "" {
			return "default", nil // what admission fills in on a cluster
		}
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP":
		return pod.Status.HostIP, nil
	case "status.hostIPs":
		return joinIPs(pod.Status.HostIPs, func(ip v1.HostIP) string { return ip.IP }), nil
	case "status.podIP":
		return pod.Status.PodIP, nil
	case "status.podIPs":
		return joinIPs(pod.Status.PodIPs, func(ip v1.PodIP) string { return ip.IP }), nil
	}
	return "", fmt.Errorf("unsupported fieldPath: %s", path)
}

func joinIPs[T any](ips []T, text func(T) string) string {
	var list []string
	for _, ip := range ips {
		list = append(list, text(ip))
	}
	return strings.Join(list, ",")
}

// resource is the value of a resourceFieldRef: in units of the divisor, rounded up.
func (s EnvSource) resource(ref *v1.ResourceFieldSelector) (string, error) {
	c := s.Container
	if ref.ContainerName != "" {
		if c = findContainer(s.Pod, ref.ContainerName); c == nil {
			return "", fmt.Errorf("container %s not found", ref.ContainerName)
		}
	}
	divisor := ref.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	switch ref.Resource {
	case "limits.cpu":
		return milliUnits(limit(c.Resources.Limits, v1.ResourceCPU, s.NodeCPU), divisor), nil
	case "limits.memory":
		return units(limit(c.Resources.Limits, v1.ResourceMemory, s.NodeMemory), divisor), nil
	case "requests.cpu":
		return milliUnits(c.Resources.Requests[v1.ResourceCPU], divisor), nil
	case "requests.memory":
		return units(c.Resources.Requests[v1.ResourceMemory], divisor), nil
	}
	return "", fmt.Errorf("unsupported container resource : %v", ref.Resource)
}

func findContainer(pod *v1.Pod, name string) *v1.Container {
	for _, list := range [][]v1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

func limit(limits v1.ResourceList, name v1.ResourceName, node resource.Quantity) resource.Quantity {
	if q, ok := limits[name]; ok && !q.IsZero() {
		return q
	}
	return node
}

func milliUnits(q, divisor resource.Quantity) string {
	return roundUp(q.MilliValue(), divisor.MilliValue())
}

func units(q, divisor resource.Quantity) string { return roundUp(q.Value(), divisor.Value()) }

func roundUp(amount, divisor int64) string {
	n := amount / divisor
	if amount%divisor > 0 {
		n++
	}
	return strconv.FormatInt(n, 10)
}
