package cli

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"podrun/monitor"
	"podrun/pod"
)

func TestDifferLines(t *testing.T) {
	old := &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Name: "a", Image: "busybox:1"}}}}
	updated := old.DeepCopy()
	updated.Labels = map[string]string{"app": "x"}
	updated.Spec.Containers[0].Image = "busybox:2"
	updated.Spec.Hostname = strings.Repeat("x", 61)
	command := "echo '" + strings.Repeat("long ", 20)
	old.Spec.Containers[0].Command = []string{"sh", command + "one" + strings.Repeat(" tail", 20)}
	updated.Spec.Containers[0].Command = []string{"a > b && c", command + "three" + strings.Repeat(" tail", 20)}
	want := `  metadata.labels: (unset) -> {"app":"x"}
  spec.containers[0].command[0]: "sh" -> "a > b && c"
  spec.containers[0].command[1]: …long long one tail tai… -> …long long three tail tai…
  spec.containers[0].image: "busybox:1" -> "busybox:2"
  spec.hostname: (unset) -> "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
`
	if got := differLines(pod.Differences(old, updated)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestChangedError(t *testing.T) {
	list := []pod.Difference{{Path: "spec.hostname", Old: "a", New: "b"}}
	for _, test := range []struct {
		phase v1.PodPhase
		errs  field.ErrorList
		want  string
	}{
		{v1.PodSucceeded, field.ErrorList{field.Forbidden(field.NewPath("spec", "hostname"), "no")},
			"pod p has ended (Succeeded), and ran with another manifest:\n  spec.hostname: \"a\" -> \"b\"\nuse --replace to run this one; nothing was changed"},
		{v1.PodRunning, field.ErrorList{field.Forbidden(field.NewPath("spec", "hostname"), "no")},
			"pod p runs with another manifest:\n  spec.hostname: \"a\" -> \"b\"\nof which a pod that runs cannot take:\n  spec.hostname: no\nuse --replace to take it down and make it anew; nothing was changed"},
	} {
		f := &monitor.Found{Status: monitor.Status{Checkpoint: pod.Checkpoint{Status: v1.PodStatus{Phase: test.phase}}}}
		if got := changedError("p", list, test.errs, f).Error(); got != test.want {
			t.Errorf("got\n%s\nwant\n%s", got, test.want)
		}
	}
}
