package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"podrun/manifest/check"
)

// Field is the value of a Pod's field as the downward API gives it: for a fieldRef in env, and for one in a
// volume, where all labels or all annotations may be asked for (kubelet, podFieldSelectorRuntimeValue, and
// pkg/fieldpath). A label or annotation that the Pod does not have is empty. The Pod has its UID,
// Spec.NodeName and the addresses in Status as the caller knows them.
func Field(pod *v1.Pod, path string) (string, error) {
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
	case "metadata.labels":
		return lines(pod.Labels), nil
	case "metadata.annotations":
		return lines(pod.Annotations), nil
	case "spec.nodeName", "spec.host": // upstream's old name
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

// lines writes a map as a file: sorted, the values quoted as in Go, no line end at the end.
func lines(m map[string]string) string {
	var text []byte
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if len(text) > 0 {
			text = append(text, '\n')
		}
		text = strconv.AppendQuote(append(append(text, key...), '='), m[key])
	}
	return string(text)
}

func joinIPs[T any](ips []T, text func(T) string) string {
	var list []string
	for _, ip := range ips {
		list = append(list, text(ip))
	}
	return strings.Join(list, ",")
}

// Resource is the value of a resourceFieldRef: a limit or request in units of the divisor, rounded up
// (upstream's pkg/api/v1/resource). The container is the one that the reference names, or else own, the
// container that it stands in. allocatable holds what a limit of cpu, memory or ephemeral-storage is where the
// container has none; it is called only then.
func Resource(pod *v1.Pod, own *v1.Container, ref *v1.ResourceFieldSelector, allocatable func() v1.ResourceList) (string, error) {
	c := own
	if ref.ContainerName != "" {
		c = findContainer(pod, ref.ContainerName)
	}
	if c == nil {
		return "", fmt.Errorf("container %s not found", ref.ContainerName)
	}
	of, name, _ := strings.Cut(ref.Resource, ".")
	list := map[string]v1.ResourceList{"limits": c.Resources.Limits, "requests": c.Resources.Requests}[of]
	amount := list[v1.ResourceName(name)]
	switch n := v1.ResourceName(name); {
	case of != "limits" && of != "requests":
		return "", fmt.Errorf("unsupported container resource : %v", ref.Resource)
	case strings.HasPrefix(name, v1.ResourceHugePagesPrefix): // never more than what is asked for
	case n != v1.ResourceCPU && n != v1.ResourceMemory && n != v1.ResourceEphemeralStorage:
		return "", fmt.Errorf("unsupported container resource : %v", ref.Resource)
	case of == "limits" && amount.IsZero():
		amount = allocatable()[n]
	}
	divisor := ref.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	if name == string(v1.ResourceCPU) {
		return roundUp(amount.MilliValue(), divisor.MilliValue()), nil
	}
	return roundUp(amount.Value(), divisor.Value()), nil
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

func roundUp(amount, divisor int64) string {
	n := amount / divisor
	if amount%divisor > 0 {
		n++
	}
	return strconv.FormatInt(n, 10)
}
