package pod

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

func TestQOSClass(t *testing.T) {
	needs := func(requests, limits v1.ResourceList) v1.ResourceRequirements {
		return v1.ResourceRequirements{Requests: requests, Limits: limits}
	}
	full := needs(amounts("1", "1Gi"), amounts("1", "1Gi"))
	for _, tt := range []struct {
		name string
		i, a v1.ResourceRequirements
		want v1.PodQOSClass
	}{
		{"none", v1.ResourceRequirements{}, v1.ResourceRequirements{}, v1.PodQOSBestEffort},
		{"zeros are none", v1.ResourceRequirements{}, needs(amounts("0", "0"), nil), v1.PodQOSBestEffort},
		{"all equal", full, full, v1.PodQOSGuaranteed},
		{"written differently", full, needs(amounts("1000m", "1024Mi"), amounts("1", "1Gi")), v1.PodQOSGuaranteed},
		{"init has none", v1.ResourceRequirements{}, full, v1.PodQOSBurstable},
		{"no memory", full, needs(amounts("1", ""), amounts("1", "")), v1.PodQOSBurstable},
		{"request below limit", full, needs(amounts("1", "1Mi"), amounts("1", "1Gi")), v1.PodQOSBurstable},
		{"requests only", full, needs(amounts("1", "1Gi"), nil), v1.PodQOSBurstable},
	} {
		pod := newPod(v1.RestartPolicyAlways, "i", "|", "a")
		pod.Spec.InitContainers[0].Resources = tt.i
		pod.Spec.Containers[0].Resources = tt.a
		if got := QOSClass(pod); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}

	// What the pod says for itself hides its containers.
	pod := newPod(v1.RestartPolicyAlways, "|", "a", "b")
	pod.Spec.Resources = &full
	if got := QOSClass(pod); got != v1.PodQOSGuaranteed {
		t.Errorf("resources of the pod: got %s, want %s", got, v1.PodQOSGuaranteed)
	}
	pod.Spec.Containers[0].Resources = full
	pod.Spec.Containers[1].Resources = full
	pod.Spec.Resources = &v1.ResourceRequirements{Requests: amounts("1", "")}
	if got := QOSClass(pod); got != v1.PodQOSBurstable {
		t.Errorf("requests of the pod: got %s, want %s", got, v1.PodQOSBurstable)
	}
}
