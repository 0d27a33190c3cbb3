package check_test

import "testing"

func TestValidateProjections(t *testing.T) {
	checkAll(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [{name: c, image: i}]\n  volumes: [{name: v, %s}]\n", []mistake{
		{"sound", "downwardAPI: {defaultMode: 0400, items: [{path: a/b, mode: 0, fieldRef: {fieldPath: metadata.labels}}, {path: c, resourceFieldRef: {containerName: c, resource: limits.cpu, divisor: 1m}}]}", ""},
		{"no path", "downwardAPI: {items: [{fieldRef: {fieldPath: metadata.name}}]}", "spec.volumes[0].downwardAPI.path: Required value"},
		{"a path that climbs", "downwardAPI: {items: [{path: a/../b, fieldRef: {fieldPath: metadata.name}}]}", `spec.volumes[0].downwardAPI.path: Invalid value: "a/../b": must not contain '..'`},
		{"the volume's own name", "downwardAPI: {items: [{path: ..data, fieldRef: {fieldPath: metadata.name}}]}", `spec.volumes[0].downwardAPI.path: Invalid value: "..data": must not start with '..'`},
		{"nothing in the file", "downwardAPI: {items: [{path: a}]}", "spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"},
		{"two things in the file", "downwardAPI: {items: [{path: a, fieldRef: {fieldPath: metadata.name}, resourceFieldRef: {containerName: c, resource: limits.cpu}}]}", `spec.volumes[0].downwardAPI: Invalid value: "resource": fieldRef and resourceFieldRef can not be specified simultaneously`},
		{"an address, which comes too late", "downwardAPI: {items: [{path: a, fieldRef: {fieldPath: status.podIP}}]}", `spec.volumes[0].downwardAPI.fieldRef.fieldPath: Unsupported value: "status.podIP": supported values: "metadata.annotations", "metadata.labels", "metadata.name"`},
		{"a resource of nobody", "downwardAPI: {items: [{path: a, resourceFieldRef: {resource: limits.cpu}}]}", "spec.volumes[0].downwardAPI.resourceFieldRef.containerName: Required value"},
		{"too wide a mode", "downwardAPI: {items: [{path: a, mode: 01000, fieldRef: {fieldPath: metadata.name}}]}", "spec.volumes[0].downwardAPI.mode: Invalid value: 512: must be a number"},

		{"sound", "projected: {defaultMode: 0440, sources: [{configMap: {name: a}}, {secret: {name: b, items: [{key: k, path: x}]}}, {downwardAPI: {items: [{path: z, fieldRef: {fieldPath: metadata.uid}}]}}]}", ""},
		{"no source at all", "projected: {}", ""},
		{"too wide a default mode", "projected: {defaultMode: 0o1000}", "spec.volumes[0].projected.defaultMode: Invalid value: 512: must be a number"},
		{"no name", "projected: {sources: [{configMap: {}}]}", "spec.volumes[0].projected.sources[0].configMap.name: Required value"},
		{"no name", "projected: {sources: [{secret: {}}]}", "spec.volumes[0].projected.sources[0].secret.name: Required value"},
		{"no key", "projected: {sources: [{secret: {name: a, items: [{path: a}]}}]}", "spec.volumes[0].projected.sources[0].secret.items[0].key: Required value"},
		{"two kinds in one source", "projected: {sources: [{configMap: {name: a}, secret: {name: b}}]}", "spec.volumes[0].projected.sources[0]: Forbidden: may not specify more than 1 volume type per source"},
		{"two files in one place", "projected: {sources: [{configMap: {name: a, items: [{key: k, path: x}]}}, {downwardAPI: {items: [{path: x, fieldRef: {fieldPath: metadata.uid}}]}}]}", `spec.volumes[0].projected: Invalid value: "x": conflicting duplicate paths`},
		{"a token", "projected: {sources: [{serviceAccountToken: {path: token}}]}", "spec.volumes[0].projected.sources[0].serviceAccountToken: is not supported by podrun: there is no API server"},
	})
}

func TestValidateFileKey(t *testing.T) {
	checkAll(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  volumes: [{name: e}, {name: h, hostPath: {path: /}}]\n  containers: [{name: c, image: i, env: [{name: A, valueFrom: {fileKeyRef: {%s}}}]}]\n", []mistake{
		{"sound", "volumeName: e, path: a/b.env, key: K, optional: true", ""},
		{"no key", "volumeName: e, path: a", "spec.containers[0].env[0].valueFrom.fileKeyRef.key: Required value"},
		{"a key with an equals sign", "volumeName: e, path: a, key: A=", `spec.containers[0].env[0].valueFrom.fileKeyRef.key: Invalid value: "A="`},
		{"no path", "volumeName: e, key: K", "spec.containers[0].env[0].valueFrom.fileKeyRef.path: Required value"},
		{"a path that climbs", "volumeName: e, key: K, path: ../a", `spec.containers[0].env[0].valueFrom.fileKeyRef.path: Invalid value: "../a": must not contain '..'`},
		{"a volume that is not there", "volumeName: none, key: K, path: a", `spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Not found: "none"`},
		{"a volume that others write", "volumeName: h, key: K, path: a", `spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Invalid value: "h": referenced volume must be of type emptyDir`},
	})
}

func TestValidateSubPathExpr(t *testing.T) {
	checkAll(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  volumes: [{name: v}]\n  containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /v, %s}]}]\n", []mistake{
		{"sound", "subPathExpr: a/$(B)", ""},
		{"beside a subPath", "subPath: a, subPathExpr: b", `spec.containers[0].volumeMounts[0].subPathExpr: Invalid value: "b": subPathExpr and subPath are mutually exclusive`},
		{"absolute", "subPathExpr: /a", `spec.containers[0].volumeMounts.subPathExpr: Invalid value: "/a": must be a relative path`},
		{"climbing", "subPathExpr: a/../b", `spec.containers[0].volumeMounts.subPathExpr: Invalid value: "a/../b": must not contain '..'`},
	})
}
