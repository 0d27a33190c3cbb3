package cli

import (
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"podrun/state"
)

func recordOf(change func(*state.Record)) *state.Record {
	r := &state.Record{
		Pod: &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default", UID: "old", Labels: map[string]string{"app": "x"}},
			Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "a", Image: "busybox:1", Args: []string{"x"}}}},
		},
	}
	if change != nil {
		change(r)
	}
	return r
}

func TestDifferences(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*state.Record)
		want   []string
	}{
		{"nothing", nil, nil},
		{"the uid, which podrun gives", func(r *state.Record) { r.Pod.UID = "new" }, nil},
		{"where the logs go", func(r *state.Record) { r.LogDir = "/elsewhere" }, nil},
		{"an image", func(r *state.Record) { r.Pod.Spec.Containers[0].Image = "busybox:2" }, []string{`spec.containers[0].image: "busybox:1" -> "busybox:2"`}},
		{"a field more", func(r *state.Record) { r.Pod.Spec.Hostname = "h" }, []string{`spec.hostname: (unset) -> "h"`}},
		{"a field less", func(r *state.Record) { r.Pod.Labels = nil }, []string{`metadata.labels: {"app":"x"} -> (unset)`}},
		{"two, in order", func(r *state.Record) {
			r.Pod.Spec.Hostname = "h"
			r.Pod.Spec.Containers[0].Name = "b"
		}, []string{`spec.containers[0].name: "a" -> "b"`, `spec.hostname: (unset) -> "h"`}},
		{"a container more", func(r *state.Record) { r.Pod.Spec.Containers = append(r.Pod.Spec.Containers, v1.Container{Name: "b"}) }, []string{"spec.containers: (long) -> (long)"}},
		{"a list's length", func(r *state.Record) { r.Pod.Spec.Containers[0].Args = nil }, []string{`spec.containers[0].args: ["x"] -> (unset)`}},
		{"a long value", func(r *state.Record) { r.Pod.Spec.Hostname = strings.Repeat("x", 61) }, []string{"spec.hostname: (unset) -> (long)"}},
	} {
		if got := differences(recordOf(nil), recordOf(test.change)); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
