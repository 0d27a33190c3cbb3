package manifest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
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
  - name: all
    projected: {sources: [{configMap: {name: part}}, {secret: {name: part, items: [{key: gone, path: b}]}}, {secret: {name: none, optional: true}}]}
  - {name: unused, secret: {secretName: none}}
  initContainers:
  - name: i
    image: i
    envFrom: [{configMapRef: {name: env-config}}, {secretRef: {name: none, optional: true}}]
    volumeMounts: [{name: config, mountPath: /1}, {name: secret, mountPath: /2}, {name: claim, mountPath: /3}, {name: maybe, mountPath: /4}, {name: all, mountPath: /5}]
  containers:
  - name: c
    image: i
    env:
    - {name: A, valueFrom: {configMapKeyRef: {name: env-config, key: gone}}}
    - {name: B, valueFrom: {secretKeyRef: {name: env-secret, key: gone}}}
    - {name: C, valueFrom: {secretKeyRef: {name: env-secret, key: gone, optional: true}}}
`

// references are all objects of the sources, whatever their namespace.
func (o *Objects) references() References {
	r := References{map[string]*v1.ConfigMap{}, map[string]*v1.Secret{}, map[string]*v1.PersistentVolumeClaim{}}
	for _, c := range o.ConfigMaps {
		r.ConfigMaps[c.Name] = c
	}
	for _, s := range o.Secrets {
		r.Secrets[s.Name] = s
	}
	for _, c := range o.Claims {
		r.Claims[c.Name] = c
	}
	return r
}

func TestReferencesThatAreMissing(t *testing.T) {
	o, err := Parse([]Source{{"f", []byte(referring)}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	problems := o.Missing(o.Pods[0], References{})
	want := `f:7:23: spec.volumes[0].configMap.name: configmap "volume-config" not found
f:9:26: spec.volumes[1].secret.secretName: secret "volume-secret" not found
f:11:40: spec.volumes[2].persistentVolumeClaim.claimName: persistentvolumeclaim "data" not found
f:15:46: spec.volumes[4].projected.sources[0].configMap.name: configmap "part" not found
f:15:70: spec.volumes[4].projected.sources[1].secret.name: secret "part" not found
f:20:37: spec.initContainers[0].envFrom[0].configMapRef.name: configmap "env-config" not found
f:26:53: spec.containers[0].env[0].valueFrom.configMapKeyRef.name: configmap "env-config" not found
f:27:50: spec.containers[0].env[1].valueFrom.secretKeyRef.name: secret "env-secret" not found`
	if got := problems.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	kept := References{
		ConfigMaps: map[string]*v1.ConfigMap{"env-config": {Data: map[string]string{"gone": ""}}, "volume-config": {BinaryData: map[string][]byte{"here": nil, "gone": nil}}, "part": {}},
		Secrets:    map[string]*v1.Secret{"env-secret": {}, "volume-secret": {Data: map[string][]byte{"gone": nil}}, "part": {Data: map[string][]byte{"gone": nil}}},
		Claims:     map[string]*v1.PersistentVolumeClaim{"data": {}},
	}
	want = "f:27:67: spec.containers[0].env[1].valueFrom.secretKeyRef.key: couldn't find key gone in Secret default/env-secret"
	if got := o.Missing(o.Pods[0], kept).Error(); got != want {
		t.Errorf("with kept objects: got\n%s\nwant\n%s", got, want)
	}
}

func TestNamesOf(t *testing.T) {
	o, err := Parse([]Source{{"f", []byte(referring)}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := NamesOf(&o.Pods[0].Spec)
	for _, names := range []struct {
		got  []string
		want string
	}{
		{got.ConfigMaps, "env-config none part volume-config"},
		{got.Secrets, "env-secret none part volume-secret"},
		{got.Claims, "data"},
	} {
		slices.Sort(names.got)
		if got := strings.Join(slices.Compact(names.got), " "); got != names.want {
			t.Errorf("got %s, want %s", got, names.want)
		}
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
- {apiVersion: v1, kind: ConfigMap, metadata: {name: part}}
- {apiVersion: v1, kind: Secret, metadata: {name: part}, data: {gone: ''}}
- {apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1}}}}
`
	o, err := Parse([]Source{{"f", []byte(referring)}, {"objects", []byte(objects)}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	problems := o.Missing(o.Pods[0], References{})
	want := `f:7:74: spec.volumes[0].configMap.items[1].key: configmap references non-existent config key: gone
f:9:55: spec.volumes[1].secret.items[0].key: references non-existent secret key: gone
f:26:70: spec.containers[0].env[0].valueFrom.configMapKeyRef.key: couldn't find key gone in ConfigMap default/env-config
f:27:67: spec.containers[0].env[1].valueFrom.secretKeyRef.key: couldn't find key gone in Secret default/env-secret`
	if got := problems.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMissingVolumes(t *testing.T) {
	o, err := Parse([]Source{{"f", []byte(referring)}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	have := References{
		ConfigMaps: map[string]*v1.ConfigMap{"volume-config": {Data: map[string]string{"here": ""}}, "part": {}},
		Claims:     map[string]*v1.PersistentVolumeClaim{"data": {}},
	}
	want := `MountVolume.SetUp failed for volume "config" : configmap references non-existent config key: gone
MountVolume.SetUp failed for volume "secret" : secret "volume-secret" not found
MountVolume.SetUp failed for volume "all" : secret "part" not found`
	if got := errors.Join(MissingVolumes(o.Pods[0], have)...).Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
