package conformance

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/kubernetes/pkg/api/v1/resource"
	"k8s.io/kubernetes/pkg/fieldpath"
	envfile "k8s.io/kubernetes/pkg/kubelet/util/env"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"

	"podrun/manifest"
)

// TestExpand takes every text of up to seven characters that matter.
func TestExpand(t *testing.T) {
	env := []v1.EnvVar{{Name: "A", Value: "a"}, {Name: "AB", Value: "$(A)"}, {Name: "", Value: "nameless"}, {Name: "B"}}
	values := map[string]string{}
	for _, e := range env {
		values[e.Name] = e.Value
	}
	const alphabet, longest = "$()AB", 7
	count := 0
	var try func(text string)
	try = func(text string) {
		count++
		got, want := manifest.Expand([]string{text}, env)[0], expansion.Expand(text, expansion.MappingFuncFor(values))
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
		if len(text) < longest {
			for _, c := range alphabet {
				try(text + string(c))
			}
		}
	}
	try("")
	t.Logf("%d texts agree", count)
}

// TestEnvFile makes files of pieces that matter, and asks for one of their keys.
func TestEnvFile(t *testing.T) {
	pieces := []string{"A", "K", "K='", "K=", "=", "'", "'\n", "\n", "\nK='v'", " ", "\t", "#", "x", "\r\n", `"`, "$K"}
	random := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), "file.env")
	outcomes := map[string]int{}
	for range 3000 {
		var text strings.Builder
		for range random.IntN(12) {
			text.WriteString(pieces[random.IntN(len(pieces))])
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		want, wantErr := envfile.ParseEnv(path, "K")
		got, gotErr := keyOf(text.String())
		if got != want || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("%q: got %q and %v, want %q and %v", text.String(), got, gotErr, want, wantErr)
		}
		if wantErr != nil && gotErr != nil && !strings.HasSuffix(gotErr.Error(), wantErr.Error()) {
			t.Errorf("%q: got the error %v, want %v", text.String(), gotErr, wantErr)
		}
		switch {
		case wantErr != nil:
			outcomes["errors"]++
		case want != "":
			outcomes["values"]++
		default:
			outcomes["none"]++
		}
	}
	t.Logf("files agree: %v", outcomes)
	if len(outcomes) != 3 {
		t.Errorf("the files came to %v only", outcomes)
	}
}

// keyOf reads K of a file as a container's variable.
func keyOf(text string) (string, error) {
	optional := true
	c := &v1.Container{Env: []v1.EnvVar{{Name: "V", ValueFrom: &v1.EnvVarSource{FileKeyRef: &v1.FileKeySelector{Key: "K", Optional: &optional}}}}}
	env, err := manifest.Environment(manifest.EnvSource{Pod: &v1.Pod{}, Container: c, File: func(string, string) (io.ReadCloser, string, error) {
		return io.NopCloser(strings.NewReader(text)), "file", nil
	}})
	if len(env) == 0 {
		return "", err
	}
	return env[0].Value, err
}

func TestFields(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	text := func() string {
		var s strings.Builder
		for range random.IntN(6) {
			s.WriteString([]string{"a", "B", "/", ".", "\"", "\\", "\n", "=", "ä", "\x00", "\xff"}[random.IntN(11)])
		}
		return s.String()
	}
	for range 5000 {
		p := &v1.Pod{}
		p.Name, p.Namespace, p.UID = "web", "prod", "1-2-3"
		p.Labels, p.Annotations = map[string]string{}, map[string]string{}
		for range random.IntN(4) {
			p.Labels[text()], p.Annotations[text()] = text(), text()
		}
		p.Labels["key"], p.Annotations["a.b/Key"] = text(), text()
		for _, path := range []string{"metadata.labels", "metadata.annotations", "metadata.name", "metadata.namespace", "metadata.uid",
			"metadata.labels['key']", "metadata.annotations['a.b/Key']", "metadata.labels['none']", "metadata.generateName", "metadata.name['x']", ""} {
			got, gotErr := manifest.Field(p, path)
			want, wantErr := fieldpath.ExtractFieldPathAsString(p, path)
			if got != want || (gotErr == nil) != (wantErr == nil) {
				t.Fatalf("%s of %q %q: got %q, %v, want %q, %v", path, p.Labels, p.Annotations, got, gotErr, want, wantErr)
			}
		}
	}
}

func TestResources(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	amounts := []string{"0", "1", "1m", "250m", "1500m", "2", "64Mi", "65Mi", "1Gi", "1G", "1234567", "1e3", "0.5", "3Ti"}
	divisors := []string{"0", "1", "1m", "1k", "1M", "1G", "1Ki", "1Mi", "1Gi"}
	names := []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory, v1.ResourceEphemeralStorage, "hugepages-2Mi"}
	list := func() v1.ResourceList {
		l := v1.ResourceList{}
		for _, n := range names {
			if random.IntN(3) > 0 {
				l[n] = apiresource.MustParse(amounts[random.IntN(len(amounts))])
			}
		}
		return l
	}
	for range 20000 {
		allocatable := v1.ResourceList{v1.ResourceCPU: apiresource.MustParse("4"), v1.ResourceMemory: apiresource.MustParse("8Gi"), v1.ResourceEphemeralStorage: apiresource.MustParse("100Gi")}
		p := &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Resources: v1.ResourceRequirements{Limits: list(), Requests: list()}}}}}
		ref := &v1.ResourceFieldSelector{
			ContainerName: "c", Divisor: apiresource.MustParse(divisors[random.IntN(len(divisors))]),
			Resource: []string{"limits", "requests", "claims"}[random.IntN(3)] + "." + string(append(names, "pods")[random.IntN(5)]),
		}
		if ref.Divisor.String() == "1m" && !strings.HasSuffix(ref.Resource, ".cpu") {
			continue // only cpu is given in thousandths
		}
		got, gotErr := manifest.Resource(p, nil, ref, func() v1.ResourceList { return allocatable })
		want, wantErr := resource.ExtractResourceValueByContainerNameAndNodeAllocatable(ref, p, "c", allocatable)
		if got != want || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Fatalf("%v of %v: got %s, %v, want %s, %v", ref, p.Spec.Containers[0].Resources, got, gotErr, want, wantErr)
		}
	}
}
