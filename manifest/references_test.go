package manifest

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

const referring = `apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  volumes:
  - name: config
    configMap: {name: volume-config, items: [{key: here, path: a}, {key: gone, path: b}]}
  - name: secret
    secret: {secretName: volume-secret, items: [{key: gone, path: b}]}
  - name: claim
    persistentVolumeClaim: {claimName: data}
  - name: maybe
    configMap: {name: none, optional: true}
  initContainers:
  - name: i
    image: i
    envFrom: [{configMapRef: {name: env-config}}, {secretRef: {name: none, optional: true}}]
  containers:
  - name: c
    image: i
    env:
    - {name: A, valueFrom: {configMapKeyRef: {name: env-config, key: gone}}}
    - {name: B, valueFrom: {secretKeyRef: {name: env-secret, key: gone}}}
    - {name: C, valueFrom: {secretKeyRef: {name: env-secret, key: gone, optional: true}}}
`

func TestReferencesThatAreMissing(t *testing.T) {
	o, err := Parse([]Source{{"f", []byte(referring)}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, problems := o.References(o.Pods[0], nil)
	want := `f:7:23: spec.volumes[0].configMap.name: configmap "volume-config" not found
f:9:26: spec.volumes[1].secret.secretName: secret "volume-secret" not found
f:11:40: spec.volumes[2].persistentVolumeClaim.claimName: persistentvolumeclaim "data" not found
f:17:37: spec.initContainers[0].envFrom[0].configMapRef.name: configmap "env-config" not found
f:22:53: spec.containers[0].env[0].valueFrom.configMapKeyRef.name: configmap "env-config" not found
f:23:50: spec.containers[0].env[1].valueFrom.secretKeyRef.name: secret "env-secret" not found`
	if got := problems.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var asked []string
	references, problems := o.References(o.Pods[0], func(kind, namespace, name string) bool {
		asked = append(asked, kind+" "+namespace+"/"+name)
		return true
	})
	if len(problems) > 0 || len(references.Claims) > 0 {
		t.Errorf("got %v and %v, want no complaint of what the machine has, and nothing of it", problems, references)
	}
	slices.Sort(asked)
	if got, want := strings.Join(slices.Compact(asked), ", "), "ConfigMap default/env-config, ConfigMap default/volume-config, PersistentVolumeClaim default/data, Secret default/env-secret, Secret default/volume-secret"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
}

func TestReferencesThatAreThere(t *testing.T) {
	objects := `apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: volume-config}, binaryData: {here: ''}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: env-config}, data: {here: ''}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: unused}, data: {here: ''}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: none, namespace: elsewhere}}
- {apiVersion: v1, kind: Secret, metadata: {name: volume-secret}}
- {apiVersion: v1, kind: Secret, metadata: {name: env-secret}}
- {apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1}}}}
`
	o, err := Parse([]Source{{"f", []byte(referring)}, {"objects", []byte(objects)}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	references, problems := o.References(o.Pods[0], nil)
	want := `f:7:74: spec.volumes[0].configMap.items[1].key: configmap references non-existent config key: gone
f:9:55: spec.volumes[1].secret.items[0].key: references non-existent secret key: gone
f:22:70: spec.containers[0].env[0].valueFrom.configMapKeyRef.key: couldn't find key gone in ConfigMap default/env-config
f:23:67: spec.containers[0].env[1].valueFrom.secretKeyRef.key: couldn't find key gone in Secret default/env-secret`
	if got := problems.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, names := range []struct{ got, want string }{
		{strings.Join(slices.Sorted(maps.Keys(references.ConfigMaps)), " "), "env-config volume-config"},
		{strings.Join(slices.Sorted(maps.Keys(references.Secrets)), " "), "env-secret volume-secret"},
		{strings.Join(slices.Sorted(maps.Keys(references.Claims)), " "), "data"},
	} {
		if names.got != names.want {
			t.Errorf("got %s, want %s", names.got, names.want)
		}
	}
}
