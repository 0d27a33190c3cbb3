package manifest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sigsyaml "sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write what is found as the golden files")

// golden compares a text with a file of testdata.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (-update writes it anew):\ngot\n%s\nwant\n%s", file, got, want)
	}
}

// TestGolden pins everything that comes of a manifest: complaints, notes, what is skipped, and the objects
// with their defaults.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no manifests in testdata", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			o, err := Parse([]Source{{filepath.Base(file), data}}, Options{})
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", report(t, o, err))
		})
	}
}

func report(t *testing.T, o *Objects, err error) string {
	var out strings.Builder
	if err != nil {
		fmt.Fprintln(&out, err)
	}
	for _, n := range o.Ignored {
		fmt.Fprintf(&out, "ignored %s: %s: %s\n", n.Position, n.Path, n.Text)
	}
	for _, s := range o.Skipped {
		fmt.Fprintf(&out, "skipped %s: %s %s\n", s.Position, s.Kind, s.Name)
	}
	dump := func(object any) {
		y, err := sigsyaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "---\n%s", y)
	}
	for _, p := range o.Pods {
		dump(p)
	}
	for _, c := range o.ConfigMaps {
		dump(c)
	}
	for _, s := range o.Secrets {
		dump(s)
	}
	for _, c := range o.Claims {
		dump(c)
	}
	return out.String()
}

const soundPod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: i}]}\n"

func TestParseComplains(t *testing.T) {
	for _, tc := range []struct{ why, data, want string }{
		{"no object", "just words", `f:1:1: is no Kubernetes object: must be a mapping with apiVersion and kind, found the string "just words"`},
		{"no version", "kind: Pod", "f:1:1: apiVersion: Required value: every object says its apiVersion and kind; " + supported},
		{"no kind", "apiVersion: v1", "f:1:1: kind: Required value: every object says its apiVersion and kind; " + supported},
		{"a version in small letters", "apiversion: v1\nkind: Pod", `f:1:1: apiversion: unknown field, did you mean "apiVersion"?`},
		{"both misspelt", "ApiVersion: v1\nKind: Pod", "f:1:1: ApiVersion: unknown field, did you mean \"apiVersion\"?\nf:2:1: Kind: unknown field, did you mean \"kind\"?"},
		{"a number for a version", "apiVersion: 1\nkind: Pod", "f:1:13: apiVersion: must be a string, found the number 1"},
		{"wrong version", "apiVersion: v2\nkind: Pod", `f:1:13: apiVersion: unknown version "v2" of kind Pod, did you mean "v1"?`},
		{"version without its group", "apiVersion: v1\nkind: Deployment", `f:1:13: apiVersion: unknown version "v1" of kind Deployment, did you mean "apps/v1"?`},
		{"misspelt kind", "apiVersion: v1\nkind: Pdo", `f:2:7: kind: unknown kind "Pdo" of apiVersion v1, did you mean "Pod"?`},
		{"kind in small letters", "apiVersion: v1\nkind: pod", `f:2:7: kind: unknown kind "pod" of apiVersion v1, did you mean "Pod"?`},
		{"misspelt kind of another group", "apiVersion: batch/v1\nkind: Deploymnt", `f:2:7: kind: unknown kind "Deploymnt" of apiVersion batch/v1, did you mean "Deployment"?`},
		{"a file for another program", "services: {web: {image: nginx}}", "f:1:1: is no Kubernetes object: it has neither apiVersion nor kind; " + supported},
		{"kind of nobody", "apiVersion: apps/v1\nkind: Frobnicator", `f:2:7: kind: kind "Frobnicator" of apiVersion apps/v1 is not known to podrun; ` + supported},
		{"a custom kind alone", "apiVersion: example.com/v1\nkind: Frobnicator", "f:2:7: kind: Frobnicator is not supported by podrun; " + supported},
		{"a Pod in a group of its own", "apiVersion: example.com/v1\nkind: Pod", `f:1:13: apiVersion: unknown version "example.com/v1" of kind Pod, did you mean "v1"?`},
		{"a Deployment beside configuration", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}", "f:6:7: kind: Deployment is not supported by podrun; " + supported + "; write its spec.template as a Pod with a metadata.name"},
		{"a Deployment alone", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}", "f:2:7: kind: Deployment is not supported by podrun; " + supported + "; write its spec.template as a Pod with a metadata.name"},
		{"a Service alone", "apiVersion: v1\nkind: Service\nmetadata: {name: d}", "f:2:7: kind: Service is not supported by podrun; " + supported},
		{"a container at the top", soundPod + "containers: []", "f:5:1: containers: unknown field, it belongs to spec.containers"},
		{"a container's fields in the pod's spec", strings.Replace(soundPod, "spec: {", "spec: {image: i, livenessProbe: {}, ", 1), "f:4:8: spec.image: unknown field, it belongs to spec.containers[].image\nf:4:18: spec.livenessProbe: unknown field, it belongs to spec.containers[].livenessProbe"},
		{"the pod's group in a container", strings.Replace(soundPod, "image: i", "image: i, fsGroup: 1", 1), "f:4:41: spec.containers[0].fsGroup: unknown field, it belongs to spec.securityContext.fsGroup"},
		{"a user beside the security context", strings.Replace(soundPod, "image: i", "image: i, runAsUser: 1", 1), "f:4:41: spec.containers[0].runAsUser: unknown field, it belongs to spec.containers[].securityContext.runAsUser"},
		{"an amount beside the limits", strings.Replace(soundPod, "image: i", "image: i, resources: {memory: 1}", 1), "f:4:53: spec.containers[0].resources.memory: unknown field, it belongs to spec.containers[].resources.limits or requests"},
		{"a field of nothing", soundPod + "frobnicate: 1", "f:5:1: frobnicate: unknown field"},
		{"a broken list", "apiVersion: v1\nkind: List\nitems: {a: b}", "f:3:8: items: must be a list, found a mapping"},
		{"an item that is no object", "apiVersion: v1\nkind: List\nitems: [5]", "f:3:9: is no Kubernetes object: must be a mapping with apiVersion and kind, found the number 5"},
		{"one name twice", soundPod + "---\n" + soundPod, "f:8:18: metadata.name: Pod default/p is already defined at f:1:1"},
		{"a name that the server makes", "apiVersion: v1\nkind: Pod\nmetadata: {generateName: p-}\nspec: {containers: [{name: c, image: i}]}", "f:3:26: metadata.generateName: is not supported by podrun: podrun makes no names up, give the object a metadata.name"},
		{"no name", "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: c, image: i}]}", "f:1:1: metadata.name: Required value"},
		{"a mistake behind an anchor", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [&a {image: 5, name: c}, {<<: *a, name: d}]}", "f:4:32: spec.containers[0].image: must be a string, found the number 5: write \"5\", in quotes\nf:4:32: spec.containers[1].image: must be a string, found the number 5: write \"5\", in quotes"},
	} {
		t.Run(tc.why, func(t *testing.T) {
			_, err := Parse([]Source{{"f", []byte(tc.data)}}, Options{})
			if got := fmt.Sprint(err); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestNamespace(t *testing.T) {
	in := func(namespace string) Source {
		return Source{"f", []byte(strings.Replace(soundPod, "{name: p}", "{name: p, namespace: "+namespace+"}", 1))}
	}
	for _, tc := range []struct {
		why     string
		source  Source
		options Options
		want    string
	}{
		{"none named", Source{"f", []byte(soundPod)}, Options{}, "default"},
		{"none named, one asked for", Source{"f", []byte(soundPod)}, Options{Namespace: "dev", NamespaceSet: true}, "dev"},
		{"its own", in("prod"), Options{Namespace: "default"}, "prod"},
		{"the same", in("prod"), Options{Namespace: "prod", NamespaceSet: true}, "prod"},
		{"another one asked for", in("prod"), Options{Namespace: "dev", NamespaceSet: true}, `f:3:32: metadata.namespace: is "prod", but the namespace asked for is "dev"`},
		{"no name of a namespace", in("A/b"), Options{}, `f:3:32: metadata.namespace: Invalid value: "A/b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`},
	} {
		t.Run(tc.why, func(t *testing.T) {
			o, err := Parse([]Source{tc.source}, tc.options)
			got := fmt.Sprint(err)
			if err == nil {
				got = o.Pods[0].Namespace
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestSourcesTogether(t *testing.T) {
	o, err := Parse([]Source{
		{"z.yaml", []byte("a: [\n")},
		{"a.yaml", []byte(soundPod + "---\nkind: Pod\n---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\n")},
	}, Options{})
	want := "z.yaml:2:1: did not find expected node content: is a value or a bracket missing?\n" +
		"a.yaml:6:1: apiVersion: Required value: every object says its apiVersion and kind; " + supported
	if got := fmt.Sprint(err); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if len(o.Pods) != 1 || len(o.Skipped) != 1 || o.Skipped[0].Name != "s" {
		t.Errorf("got %d pods and %v skipped, want what is sound", len(o.Pods), o.Skipped)
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := Parse([]Source{{"f", data}}, Options{})
		if problems, _ := err.(Problems); err != nil && (len(problems) == 0 || strings.Count(err.Error(), "\n") != len(problems)-1) {
			t.Fatalf("complaints that are not one line each: %q", err)
		}
		for _, pod := range o.Pods {
			references := o.references()
			o.Missing(pod, References{})
			for i := range pod.Spec.Containers {
				c := &pod.Spec.Containers[i]
				env, _ := Environment(EnvSource{Pod: pod, Container: c, References: references})
				Expand(c.Command, env)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, file := range []string{"classic", "everything"} {
		data, err := os.ReadFile("testdata/" + file + ".yaml")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(file, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse([]Source{{"f", data}}, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
