package manifest

import (
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// envSource reads a container with the given fields, beside the objects that it may refer to.
func envSource(t *testing.T, fields string) EnvSource {
	t.Helper()
	data := `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: prod}
data: {a: from-a, b: from-b, odd.name: odd}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: prod}
stringData: {a: secret-a, p: pass}
---
apiVersion: v1
kind: Secret
metadata: {name: binary, namespace: prod}
data: {raw: /2Fi}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: prod, labels: {app: shop}, annotations: {x.y/z: note}}
spec:
  volumes: [{name: v}]
  initContainers: [{name: side, image: i, resources: {limits: {cpu: 1500m, memory: 100Mi}}}]
  containers:
  - {name: c, image: i, ` + fields + `}
`
	o, err := Parse([]Source{{"f", []byte(data)}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	pod := o.Pods[0]
	references := o.references()
	pod.UID = "uid-1"
	pod.Spec.NodeName = "machine"
	pod.Status.HostIP, pod.Status.HostIPs = "192.0.2.1", []v1.HostIP{{IP: "192.0.2.1"}, {IP: "2001:db8::1"}}
	pod.Status.PodIP, pod.Status.PodIPs = "10.0.0.5", []v1.PodIP{{IP: "10.0.0.5"}, {IP: "fd00::5"}}
	return EnvSource{
		Pod: pod, Container: &pod.Spec.Containers[0], References: references,
		Allocatable: func() v1.ResourceList {
			return v1.ResourceList{
				v1.ResourceCPU: resource.MustParse("8"), v1.ResourceMemory: resource.MustParse("16Gi"),
				v1.ResourceEphemeralStorage: resource.MustParse("100Gi"),
			}
		},
		File: func(volume, path string) (io.ReadCloser, string, error) {
			files := map[string]string{
				"v/a.env": "A='from-file'\nEMPTY=''\n", "v/bad.env": "A=bare",
				"v/long.env": strings.Repeat("\n", maxEnvFile) + "A='too far'",
			}
			text, ok := files[volume+"/"+path]
			if !ok {
				return nil, "", fs.ErrNotExist
			}
			return io.NopCloser(strings.NewReader(text)), "/host/" + path, nil
		},
	}
}

func TestEnvironment(t *testing.T) {
	field := func(path string) string {
		return `env: [{name: V, valueFrom: {fieldRef: {fieldPath: "` + path + `"}}}]`
	}
	amount := func(ref string) string { return "env: [{name: V, valueFrom: {resourceFieldRef: {" + ref + "}}}]" }
	file := func(ref string) string {
		return "env: [{name: V, valueFrom: {fileKeyRef: {volumeName: v, " + ref + "}}}]"
	}
	for _, tc := range []struct{ why, fields, want string }{
		{"nothing", "", ""},
		{"in order", "env: [{name: Z, value: a}, {name: A}]", "Z=a A="},
		{"the later one wins, in the first one's place", "env: [{name: A, value: a}, {name: B, value: b}, {name: A, value: c}]", "A=c B=b"},
		{"references to what is before", "env: [{name: B, value: $(A)}, {name: A, value: a}, {name: C, value: $(A)-$(B)}]", "B=$(A) A=a C=a-$(A)"},
		{"a reference to itself is to the one before", "env: [{name: P, value: /bin}, {name: P, value: '$(P):/sbin'}]", "P=/bin:/sbin"},
		{"escaped", "env: [{name: A, value: a}, {name: B, value: $$(A)}]", "A=a B=$(A)"},
		{"a whole ConfigMap, any key", "envFrom: [{configMapRef: {name: settings}}]", "a=from-a b=from-b odd.name=odd"},
		{"with a prefix", "envFrom: [{prefix: X_, secretRef: {name: token}}]", "X_a=secret-a X_p=pass"},
		{"a later source wins", "envFrom: [{configMapRef: {name: settings}}, {secretRef: {name: token}}]", "a=secret-a b=from-b odd.name=odd p=pass"},
		{"env wins over envFrom and sees it", "envFrom: [{secretRef: {name: token}}], env: [{name: a, value: own}, {name: B, value: $(p)$(a)}]", "a=own p=pass B=passown"},
		{"optional and missing", "envFrom: [{configMapRef: {name: none, optional: true}}, {secretRef: {name: none, optional: true}}]", ""},
		{"keys", "env: [{name: A, valueFrom: {configMapKeyRef: {name: settings, key: b}}}, {name: B, valueFrom: {secretKeyRef: {name: token, key: p}}}]", "A=from-b B=pass"},
		{"an optional key that is missing sets nothing", "env: [{name: A, value: kept}, {name: A, valueFrom: {configMapKeyRef: {name: settings, key: none, optional: true}}}, {name: B, valueFrom: {secretKeyRef: {name: none, key: k, optional: true}}}]", "A=kept"},
		{"a value from a source is not expanded", "env: [{name: A, value: a}, {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]", "A=a B=web"},
		{"namespace", field("metadata.namespace"), "V=prod"},
		{"uid", field("metadata.uid"), "V=uid-1"},
		{"label", field("metadata.labels['app']"), "V=shop"},
		{"annotation", field("metadata.annotations['x.y/z']"), "V=note"},
		{"a label that the Pod does not have", field("metadata.labels['none']"), "V="},
		{"node", field("spec.nodeName"), "V=machine"},
		{"service account", field("spec.serviceAccountName"), "V=default"},
		{"host address", field("status.hostIP"), "V=192.0.2.1"},
		{"host addresses", field("status.hostIPs"), "V=192.0.2.1,2001:db8::1"},
		{"Pod's address", field("status.podIP"), "V=10.0.0.5"},
		{"Pod's addresses", field("status.podIPs"), "V=10.0.0.5,fd00::5"},
		{"cpu limit in cores, rounded up", "resources: {limits: {cpu: 1200m}}, " + amount("resource: limits.cpu"), "V=2"},
		{"cpu limit in thousandths", "resources: {limits: {cpu: 1200m}}, " + amount("resource: limits.cpu, divisor: 1m"), "V=1200"},
		{"no cpu limit: the machine's", amount("resource: limits.cpu"), "V=8"},
		{"no cpu request", amount("resource: requests.cpu"), "V=0"},
		{"a request that follows the limit", "resources: {limits: {memory: 10Mi}}, " + amount("resource: requests.memory"), "V=10485760"},
		{"memory in mebibytes, rounded up", "resources: {limits: {memory: 10485761}}, " + amount("resource: limits.memory, divisor: 1Mi"), "V=11"},
		{"no memory limit: the machine's", amount("resource: limits.memory, divisor: 1Gi"), "V=16"},
		{"no ephemeral-storage limit: the machine's", amount("resource: limits.ephemeral-storage, divisor: 1Gi"), "V=100"},
		{"huge pages", "resources: {limits: {hugepages-2Mi: 4Mi, memory: 1Mi}}, " + amount("resource: limits.hugepages-2Mi, divisor: 1Mi"), "V=4"},
		{"no huge pages are none", amount("resource: limits.hugepages-2Mi"), "V=0"},
		{"a key of a file", file("path: a.env, key: A"), "V=from-file"},
		{"an optional key that a file lacks sets nothing", file("path: a.env, key: NONE, optional: true"), ""},
		{"a key that comes too late", file("path: long.env, key: A, optional: true"), ""},
		{"an empty value is a missing key", file("path: a.env, key: EMPTY, optional: true"), ""},
		{"another container", amount("resource: limits.cpu, containerName: side"), "V=2"},
	} {
		t.Run(tc.why, func(t *testing.T) {
			env, err := Environment(envSource(t, tc.fields))
			if err != nil {
				t.Fatal(err)
			}
			var list []string
			for _, e := range env {
				if e.ValueFrom != nil {
					t.Errorf("%s still has a valueFrom", e.Name)
				}
				list = append(list, e.Name+"="+e.Value)
			}
			if got := strings.Join(list, " "); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// TestLimitsOfThePodItself come before the machine's, but not before the container's own.
func TestLimitsOfThePodItself(t *testing.T) {
	s := envSource(t, "resources: {limits: {memory: 1Mi}}, env: [{name: C, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}, "+
		"{name: M, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}, "+
		"{name: E, valueFrom: {resourceFieldRef: {resource: limits.ephemeral-storage, divisor: 1Gi}}}]")
	s.Pod.Spec.Resources = &v1.ResourceRequirements{Limits: v1.ResourceList{
		v1.ResourceCPU: resource.MustParse("3"), v1.ResourceMemory: resource.MustParse("2Mi"),
	}}
	env, err := Environment(s)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"3", "1", "100"} {
		if env[i].Value != want {
			t.Errorf("%s: got %s, want %s", env[i].Name, env[i].Value, want)
		}
	}
}

func TestChangeable(t *testing.T) {
	for fields, want := range map[string]bool{
		"": false,
		"env: [{name: A, value: a}, {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]": false,
		"env: [{name: A, valueFrom: {fieldRef: {fieldPath: \"metadata.annotations['a']\"}}}]":      true,
		"env: [{name: A, valueFrom: {secretKeyRef: {name: token, key: p}}}]":                       true,
		"env: [{name: A, valueFrom: {configMapKeyRef: {name: settings, key: a}}}]":                 true,
		"env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: p, key: a}}}]":              true,
		"env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}]":                  false,
		"envFrom: [{configMapRef: {name: settings}}]":                                              true,
	} {
		if got := Changeable(envSource(t, fields).Container); got != want {
			t.Errorf("%s: got %v, want %v", fields, got, want)
		}
	}
}

func TestEnvironmentComplainsAsTheKubelet(t *testing.T) {
	for _, tc := range []struct{ fields, want string }{
		{"envFrom: [{configMapRef: {name: none}}]", `configmap "none" not found`},
		{"envFrom: [{secretRef: {name: none}}]", `secret "none" not found`},
		{"env: [{name: A, valueFrom: {configMapKeyRef: {name: none, key: k}}}]", `configmap "none" not found`},
		{"env: [{name: A, valueFrom: {configMapKeyRef: {name: settings, key: none}}}]", `couldn't find key none in ConfigMap prod/settings`},
		{"env: [{name: A, valueFrom: {secretKeyRef: {name: token, key: none}}}]", `couldn't find key none in Secret prod/token`},
		{"env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, containerName: none}}}]", `container none not found`},
		{"env: [{name: A, valueFrom: {secretKeyRef: {name: binary, key: raw}}}]", `the value of variable A is not valid UTF-8: mount it as a file`},
		{"envFrom: [{secretRef: {name: binary}}]", `the value of variable raw is not valid UTF-8: mount it as a file`},
		{"env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: a.env, key: NONE}}}]", `environment variable key "NONE" not found in file "/host/a.env"`},
		{"env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: a.env, key: EMPTY}}}]", `environment variable key "EMPTY" not found in file "/host/a.env"`},
		{"env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: none, key: A, optional: true}}}]", `couldn't parse env file: file does not exist`},
		{"env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: bad.env, key: A}}}]", `couldn't parse env file: /host/bad.env: invalid environment variable format at line 1: value must be enclosed in single quotes`},
	} {
		_, err := Environment(envSource(t, tc.fields))
		if got := fmt.Sprint(err); got != tc.want {
			t.Errorf("%s\ngot  %s\nwant %s", tc.fields, got, tc.want)
		}
	}
}

func TestExpand(t *testing.T) {
	env := []v1.EnvVar{{Name: "A", Value: "a"}, {Name: "B", Value: "$(A)"}, {Name: "my.var", Value: "m"}, {Name: "E", Value: ""}}
	for word, want := range map[string]string{
		"":              "",
		"plain":         "plain",
		"$(A)":          "a",
		"x$(A)y$(A)":    "xaya",
		"$(B)":          "$(A)", // a value is not expanded again
		"$(my.var)":     "m",
		"[$(E)]":        "[]",
		"$(NONE)":       "$(NONE)",
		"$$(A)":         "$(A)",
		"$$$(A)":        "$a",
		"$$$$(A)":       "$$(A)",
		"$$A":           "$A",
		"$A ${A} `A`":   "$A ${A} `A`", // that is for the shell
		"$":             "$",
		"a$":            "a$",
		"$(A":           "$(A",
		"$(A $(A)":      "$(A $(A)", // a name reaches to the first bracket
		"$()":           "$()",
		"$(A))":         "a)",
		"cost: 5$ $(A)": "cost: 5$ a",
	} {
		if got := Expand([]string{word}, env); got[0] != want {
			t.Errorf("%q: got %q, want %q", word, got[0], want)
		}
	}
}

func TestExpandSubPaths(t *testing.T) {
	env := []v1.EnvVar{{Name: "A", Value: "a"}, {Name: "EMPTY"}, {Name: "UP", Value: "../x"}}
	for _, tc := range []struct{ expr, want, wantErr string }{
		{"", "plain", ""},
		{"logs/$(A)", "logs/a", ""},
		{"$(A)$(A)", "aa", ""},
		{"$$(A)", "$(A)", ""},
		{"$(UP)", "../x", ""}, // whoever opens it refuses it
		{"$(EMPTY)", "", "missing value for EMPTY"},
		{"$(Z)/$(B)/$(Z)", "", "missing value for B, Z"},
	} {
		mounts := []v1.VolumeMount{{Name: "v", SubPath: "plain"}, {Name: "v", SubPathExpr: tc.expr}}
		if tc.expr == "" {
			mounts[1].SubPath = "plain"
		}
		got, err := ExpandSubPaths(mounts, env)
		if fmt.Sprint(err) != tc.wantErr && (err != nil || tc.wantErr != "") {
			t.Errorf("%s: got %v, want %s", tc.expr, err, tc.wantErr)
		}
		if err == nil && (got[0].SubPath != "plain" || got[1].SubPath != tc.want || got[1].SubPathExpr != "") {
			t.Errorf("%s: got %v, want %s", tc.expr, got, tc.want)
		}
		if mounts[1].SubPathExpr != tc.expr {
			t.Errorf("%s: the manifest's own mounts were changed", tc.expr)
		}
	}
}

// TestExpandIsBounded doubles a variable sixty times, which no memory could hold.
func TestExpandIsBounded(t *testing.T) {
	c := &v1.Container{Env: []v1.EnvVar{{Name: "V", Value: "xx"}}}
	for range 60 {
		c.Env = append(c.Env, v1.EnvVar{Name: "V", Value: "$(V)$(V)"})
	}
	env, err := Environment(EnvSource{Pod: &v1.Pod{}, Container: c})
	if err != nil || len(env[0].Value) < maxString || len(env[0].Value) > 4*maxString {
		t.Errorf("got %d bytes and %v, want more than execve takes and little more", len(env[0].Value), err)
	}
	words := Expand([]string{strings.Repeat("$(V)", 1000)}, env)
	if len(words[0]) > 8*maxString {
		t.Errorf("got a word of %d bytes, want little more than execve takes", len(words[0]))
	}
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"$(A)", "$$(A)", "$(A", "$$$", "a$(B)c$$$(A)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := Expand([]string{s}, nil)[0]; !strings.Contains(s, "$$") && got != s {
			t.Errorf("%q became %q though nothing is set", s, got)
		}
		escaped := strings.ReplaceAll(s, "$", "$$")
		if got := Expand([]string{escaped}, []v1.EnvVar{{Name: "A", Value: "a"}})[0]; got != s {
			t.Errorf("%q, escaped, became %q", s, got)
		}
	})
}
