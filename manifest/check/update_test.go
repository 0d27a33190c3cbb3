package check

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func told(errs field.ErrorList) string {
	var lines []string
	for _, e := range errs {
		lines = append(lines, e.Error())
	}
	return strings.Join(lines, "\n")
}

func TestConfigMapUpdate(t *testing.T) {
	yes := true
	data := func(v string) map[string]string { return map[string]string{"k": v} }
	for _, test := range []struct {
		why          string
		old, updated v1.ConfigMap
		want         string
	}{
		{"another value", v1.ConfigMap{Data: data("a")}, v1.ConfigMap{Data: data("b"), BinaryData: map[string][]byte{"b": nil}}, ""},
		{"from now on immutable", v1.ConfigMap{Data: data("a")}, v1.ConfigMap{Data: data("b"), Immutable: &yes}, ""},
		{"labels of an immutable one", v1.ConfigMap{Data: data("a"), Immutable: &yes}, v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Labels: data("x")}, Data: data("a"), Immutable: &yes}, ""},
		{"the data of an immutable one", v1.ConfigMap{Data: data("a"), Immutable: &yes}, v1.ConfigMap{Data: data("b"), BinaryData: map[string][]byte{"b": nil}, Immutable: &yes},
			"data: Forbidden: field is immutable when `immutable` is set\nbinaryData: Forbidden: field is immutable when `immutable` is set"},
		{"no longer immutable", v1.ConfigMap{Immutable: &yes}, v1.ConfigMap{}, "immutable: Forbidden: field is immutable when `immutable` is set"},
	} {
		if got := told(ConfigMapUpdate(&test.updated, &test.old)); got != test.want {
			t.Errorf("%s: got %q, want %q", test.why, got, test.want)
		}
	}
}

func TestSecretUpdate(t *testing.T) {
	yes := true
	data := func(v string) map[string][]byte { return map[string][]byte{"k": []byte(v)} }
	for _, test := range []struct {
		why          string
		old, updated v1.Secret
		want         string
	}{
		{"another value", v1.Secret{Data: data("a")}, v1.Secret{Data: data("b")}, ""},
		{"another type", v1.Secret{Type: "a"}, v1.Secret{Type: "b"}, `type: Invalid value: "b": field is immutable`},
		{"the data of an immutable one", v1.Secret{Data: data("hunter1"), Immutable: &yes}, v1.Secret{Data: data("hunter2"), Immutable: &yes},
			"data: Forbidden: field is immutable when `immutable` is set"},
		{"no longer immutable", v1.Secret{Immutable: &yes}, v1.Secret{}, "immutable: Forbidden: field is immutable when `immutable` is set"},
	} {
		if got := told(SecretUpdate(&test.updated, &test.old)); got != test.want {
			t.Errorf("%s: got %q, want %q", test.why, got, test.want)
		}
	}
}

func TestClaimUpdate(t *testing.T) {
	claim := func(size string, modes ...v1.PersistentVolumeAccessMode) *v1.PersistentVolumeClaim {
		return &v1.PersistentVolumeClaim{Spec: v1.PersistentVolumeClaimSpec{
			AccessModes: modes,
			Resources:   v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse(size)}},
		}}
	}
	for _, test := range []struct {
		why          string
		old, updated *v1.PersistentVolumeClaim
		want         string
	}{
		{"the same in other words", claim("1Gi"), claim("1024Mi"), ""},
		{"more", claim("1Gi"), claim("2Gi"), ""},
		{"less", claim("2Gi"), claim("1Gi"), "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"},
		{"other access", claim("1Gi", v1.ReadWriteOnce), claim("1Gi", v1.ReadWriteMany), "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"},
	} {
		if got := told(ClaimUpdate(test.updated, test.old)); got != test.want {
			t.Errorf("%s: got %q, want %q", test.why, got, test.want)
		}
	}
}
