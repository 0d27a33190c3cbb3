package check_test

import (
	"fmt"
	"strings"
	"testing"

	"podrun/manifest"
)

// complaints parses one object and gives what is wrong with it, without the positions.
func complaints(t *testing.T, data string) string {
	t.Helper()
	_, err := manifest.Parse([]manifest.Source{{Name: "f", Data: []byte(data)}}, manifest.Options{})
	if err == nil {
		return ""
	}
	var lines []string
	for _, p := range err.(manifest.Problems) {
		lines = append(lines, p.Path+": "+p.Text)
	}
	return strings.Join(lines, "\n")
}

type mistake struct{ why, given, want string }

func checkAll(t *testing.T, template string, tests []mistake) {
	t.Helper()
	for _, tc := range tests {
		t.Run(tc.why, func(t *testing.T) {
			got := complaints(t, fmt.Sprintf(template, tc.given))
			if tc.want == "" && got != "" || !strings.HasPrefix(got, tc.want) || strings.Contains(got, "\n") != strings.Contains(tc.want, "\n") {
				t.Errorf("%s\ngot  %s\nwant %s", tc.given, got, tc.want)
			}
		})
	}
}

func TestValidateMeta(t *testing.T) {
	checkAll(t, "apiVersion: v1\nkind: Pod\nmetadata: %s\nspec: {containers: [{name: c, image: i}]}\n", []mistake{
		{"sound", "{name: a.b-c, labels: {a: '', x.y/z: A_b.c}, annotations: {A/b: anything}}", ""},
		{"no name", "{labels: {a: b}}", "metadata.name: Required value"},
		{"a name with capitals", "{name: Web}", `metadata.name: Invalid value: "Web": a lowercase RFC 1123 subdomain`},
		{"a name with a slash would leave its directory", "{name: ../x}", `metadata.name: Invalid value: "../x"`},
		{"too long a name", "{name: " + strings.Repeat("a", 254) + "}", `metadata.name: Invalid value: "` + strings.Repeat("a", 100) + `…": must be no more than 253 characters`},
		{"a label with spaces", "{name: a, labels: {a: b c}}", `metadata.labels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric`},
		{"a label's name with two slashes", "{name: a, labels: {a/b/c: d}}", `metadata.labels: Invalid value: "a/b/c": a valid label key must consist of`},
		{"an annotation's name with spaces", "{name: a, annotations: {a b: d}}", `metadata.annotations: Invalid value: "a b": name part must consist of`},
		{"too much annotation", "{name: a, annotations: {a: " + strings.Repeat("x", 256<<10) + "}}", "metadata.annotations: Too long: may not be more than 262144 bytes"},
	})
}

func TestValidateSpec(t *testing.T) {
	checkAll(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {%s}\n", []mistake{
		{"no containers", "", "spec.containers: Required value: a Pod has at least one container"},
		{"only init containers", "initContainers: [{name: c, image: i}]", "spec.containers: Required value"},
	})
	checkAll(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [{name: c, image: i}]\n  %s\n", []mistake{
		{"a restart policy of docker", "restartPolicy: always", `spec.restartPolicy: Unsupported value: "always": supported values: "Always", "OnFailure", "Never"`},
		{"a policy of docker", "dnsPolicy: host", `spec.dnsPolicy: Unsupported value: "host": supported values: "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"`},
		{"negative grace", "terminationGracePeriodSeconds: -1", ""},
		{"a hostname with dots", "hostname: a.b", `spec.hostname: Invalid value: "a.b": must not contain dots`},
		{"Windows", "os: {name: windows}", "spec.os.name: is not supported by podrun: containers run on this machine's kernel"},
		{"negative user", "securityContext: {runAsUser: -1}", "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"},
		{"too large a group", "securityContext: {runAsGroup: 4294967295}", "spec.securityContext.runAsGroup: Invalid value: 4294967295: must be between"},
		{"negative further group", "securityContext: {supplementalGroups: [1, -1]}", "spec.securityContext.supplementalGroups[1]: Invalid value: -1: must be between"},
		{"a profile of no file", "securityContext: {seccompProfile: {type: Localhost}}", "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost"},
		{"a profile anywhere", "securityContext: {seccompProfile: {type: Localhost, localhostProfile: /etc/x}}", `spec.securityContext.seccompProfile.localhostProfile: Invalid value: "/etc/x": must be a relative path`},
		{"a profile that climbs", "securityContext: {seccompProfile: {type: Localhost, localhostProfile: a/../../x}}", `spec.securityContext.seccompProfile.localhostProfile: Invalid value: "a/../../x": must not contain '..'`},
		{"a file for no profile", "securityContext: {seccompProfile: {type: Unconfined, localhostProfile: x}}", `spec.securityContext.seccompProfile.localhostProfile: Invalid value: "x": can only be set when seccomp type is Localhost`},
		{"a type of nobody", "securityContext: {seccompProfile: {type: Strict}}", `spec.securityContext.seccompProfile.type: Unsupported value: "Strict": supported values: "Localhost", "RuntimeDefault", "Unconfined"`},
		{"a policy of nobody", "securityContext: {supplementalGroupsPolicy: Some}", `spec.securityContext.supplementalGroupsPolicy: Unsupported value: "Some": supported values: "Merge", "Strict"`},
		{"a profile of no type", "securityContext: {seccompProfile: {}}", "spec.securityContext.seccompProfile.type: Required value"},
		{"one name for two containers", "initContainers: [{name: c, image: i}]", `spec.initContainers[0].name: Duplicate value: "c"`},
		{"a probe on an init container", "initContainers: [{name: d, image: i, readinessProbe: {tcpSocket: {port: 1}}}]", "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"},
		{"a policy of docker", "initContainers: [{name: d, image: i, restartPolicy: always}]", `spec.initContainers[0].restartPolicy: Unsupported value: "always": supported values: "Always", "Never", "OnFailure"`},
		{"rules without a policy", "initContainers: [{name: d, image: i, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [1]}}]}]", "spec.initContainers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used"},
		{"init and main may share a port", "initContainers: [{name: d, image: i, ports: [{containerPort: 1, hostPort: 1}]}]", ""},
	})
}

func TestValidateContainer(t *testing.T) {
	checkAll(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [{%s}]\n", []mistake{
		{"no name", "image: i", "spec.containers[0].name: Required value"},
		{"no image", "name: c", "spec.containers[0].image: Required value"},
		{"a name with underscore", "name: a_b, image: i", `spec.containers[0].name: Invalid value: "a_b": a lowercase RFC 1123 label`},
		{"an image with a space", "name: c, image: ' i'", `spec.containers[0].image: Invalid value: " i": must not have leading or trailing whitespace`},
	})
	checkAll(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  volumes: [{name: v}]\n  containers: [{name: c, image: i, %s}]\n", []mistake{
		{"pull policy", "imagePullPolicy: Sometimes", `spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"`},
		{"message policy", "terminationMessagePolicy: Log", `spec.containers[0].terminationMessagePolicy: Unsupported value: "Log"`},
		{"no port", "ports: [{name: a}]", "spec.containers[0].ports[0].containerPort: Required value"},
		{"port out of range", "ports: [{containerPort: 65536}]", "spec.containers[0].ports[0].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive"},
		{"host port out of range", "ports: [{containerPort: 1, hostPort: -1}]", "spec.containers[0].ports[0].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive"},
		{"SCTP", "ports: [{containerPort: 1, protocol: SCTP}]", ""}, // whether the kernel has it shows when it is used
		{"host IP", "ports: [{containerPort: 1, hostIP: localhost}]", `spec.containers[0].ports[0].hostIP: is not supported by podrun: "localhost" is no IP address`},
		{"port name of digits", "ports: [{containerPort: 1, name: '80'}]", `spec.containers[0].ports[0].name: Invalid value: "80": must contain at least one letter`},
		{"port name twice", "ports: [{containerPort: 1, name: a}, {containerPort: 2, name: a}]", `spec.containers[0].ports[1].name: Duplicate value: "a"`},
		{"host port twice", "ports: [{containerPort: 1, hostPort: 5}, {containerPort: 2, hostPort: 5}]", `spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//5"`},
		{"host port for two protocols", "ports: [{containerPort: 1, hostPort: 5}, {containerPort: 1, hostPort: 5, protocol: UDP}]", ""},
		{"request above limit", "resources: {limits: {cpu: 1}, requests: {cpu: 2}}", `spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1`},
		{"negative request", "resources: {requests: {memory: -1}}", `spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0`},
		{"a graphics card", "resources: {limits: {nvidia.com/gpu: 1}}", "spec.containers[0].resources.limits[nvidia.com/gpu]: is not supported by podrun: nothing on this machine gives it out"},
		{"privileged without escalation", "securityContext: {privileged: true, allowPrivilegeEscalation: false}", "spec.containers[0].securityContext: Invalid value: false: cannot set `allowPrivilegeEscalation` to false and `privileged` to true"},
		{"admin without escalation", "securityContext: {capabilities: {add: [CAP_SYS_ADMIN]}, allowPrivilegeEscalation: false}", "spec.containers[0].securityContext: Invalid value: false: cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"},
		{"mount of nothing", "volumeMounts: [{name: w, mountPath: /a}]", `spec.containers[0].volumeMounts[0].name: Not found: "w"`},
		{"mount without a name", "volumeMounts: [{mountPath: /a}]", "spec.containers[0].volumeMounts[0].name: Required value"},
		{"mount nowhere", "volumeMounts: [{name: v}]", "spec.containers[0].volumeMounts[0].mountPath: Required value"},
		{"mount with options as in docker", "volumeMounts: [{name: v, mountPath: '/a:ro'}]", ""},
		{"two mounts in one place", "volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /a}]", `spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique`},
		{"absolute subPath", "volumeMounts: [{name: v, mountPath: /a, subPath: /b}]", `spec.containers[0].volumeMounts.subPath: Invalid value: "/b": must be a relative path`},
		{"subPath that climbs", "volumeMounts: [{name: v, mountPath: /a, subPath: b/../../c}]", `spec.containers[0].volumeMounts.subPath: Invalid value: "b/../../c": must not contain '..'`},
		{"subPath with dots in a name", "volumeMounts: [{name: v, mountPath: /a, subPath: b..c/...}]", ""},
	})
}

func TestValidateEnv(t *testing.T) {
	checkAll(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [{name: c, image: i, %s}]\n", []mistake{
		{"any printable name", "env: [{name: 'my.var-1 (x)', value: ''}]", ""},
		{"no name", "env: [{value: a}]", "spec.containers[0].env[0].name: Required value"},
		{"an equals sign", "env: [{name: A=B}]", `spec.containers[0].env[0].name: Invalid value: "A=B": a valid environment variable name must consist only of printable ASCII characters other than '='`},
		{"no source", "env: [{name: A, valueFrom: {}}]", "spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"},
		{"value and source", "env: [{name: A, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]", "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty"},
		{"two sources", "env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}, secretKeyRef: {name: s, key: k}}}]", `spec.containers[0].env[0].valueFrom: Invalid value: "": may not have more than one field specified at a time`},
		{"no field path", "env: [{name: A, valueFrom: {fieldRef: {}}}]", "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Required value"},
		{"a field that is not given", "env: [{name: A, valueFrom: {fieldRef: {fieldPath: status.phase}}}]", `spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: "metadata.name"`},
		{"a key of a plain field", "env: [{name: A, valueFrom: {fieldRef: {fieldPath: \"metadata.name['a']\"}}}]", `spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "metadata.name['a']": only metadata.labels and metadata.annotations`},
		{"a label", "env: [{name: A, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}]", ""},
		{"no label's name", "env: [{name: A, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['a b']\"}}}]", `spec.containers[0].env[0].valueFrom.fieldRef: Invalid value: "a b": name part must consist of`},
		{"another API version", "env: [{name: A, valueFrom: {fieldRef: {apiVersion: v2, fieldPath: metadata.name}}}]", `spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "metadata.name": unsupported pod version: v2`},
		{"no resource", "env: [{name: A, valueFrom: {resourceFieldRef: {}}}]", "spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Required value"},
		{"a resource not given", "env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.gpu}}}]", `spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.gpu"`},
		{"a divisor of memory for cpu", "env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1Mi}}}]", `spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Unsupported value: "1Mi": supported values: "1", "1m"`},
		{"a divisor between units", "env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 3Mi}}}]", `spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Unsupported value: "3Mi"`},
		{"a key that is no key", "env: [{name: A, valueFrom: {configMapKeyRef: {name: s, key: a/b}}}]", `spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Invalid value: "a/b": a valid config key`},
		{"no key", "env: [{name: A, valueFrom: {secretKeyRef: {name: s}}}]", "spec.containers[0].env[0].valueFrom.secretKeyRef.key: Required value"},
		{"envFrom of nothing", "envFrom: [{prefix: A}]", "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`"},
		{"envFrom of two", "envFrom: [{configMapRef: {name: a}, secretRef: {name: b}}]", `spec.containers[0].envFrom: Invalid value: "": may not have more than one field`},
		{"envFrom of no name", "envFrom: [{secretRef: {}}]", "spec.containers[0].envFrom[0].secretRef.name: Required value"},
		{"a prefix with an equals sign", "envFrom: [{prefix: a=, secretRef: {name: a}}]", `spec.containers[0].envFrom[0].prefix: Invalid value: "a="`},
	})
}

func TestValidateProbes(t *testing.T) {
	checkAll(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [{name: c, image: i, %s}]\n", []mistake{
		{"no handler", "livenessProbe: {periodSeconds: 5}", "spec.containers[0].livenessProbe: Required value: must specify a handler type"},
		{"two handlers", "livenessProbe: {exec: {command: [a]}, tcpSocket: {port: 1}}", "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"},
		{"grpc without a port", "livenessProbe: {grpc: {service: a}}", "spec.containers[0].livenessProbe.grpc.port: Invalid value: 0: must be between 1 and 65535, inclusive"},
		{"no command", "startupProbe: {exec: {}}", "spec.containers[0].startupProbe.exec.command: Required value"},
		{"no port", "startupProbe: {httpGet: {path: /}}", "spec.containers[0].startupProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive"},
		{"a port's bad name", "startupProbe: {tcpSocket: {port: a_b}}", `spec.containers[0].startupProbe.tcpSocket.port: Invalid value: "a_b": must contain only alpha-numeric`},
		{"scheme in small letters", "startupProbe: {httpGet: {port: 1, scheme: https}}", `spec.containers[0].startupProbe.httpGet.scheme: Unsupported value: "https": supported values: "HTTP", "HTTPS"`},
		{"a header with a space", "startupProbe: {httpGet: {port: 1, httpHeaders: [{name: a b, value: c}]}}", `spec.containers[0].startupProbe.httpGet.httpHeaders: Invalid value: "a b": a valid HTTP header`},
		{"negative period", "readinessProbe: {exec: {command: [a]}, periodSeconds: -1}", "spec.containers[0].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0"},
		{"two successes for liveness", "livenessProbe: {exec: {command: [a]}, successThreshold: 2}", "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"},
		{"two successes for startup", "startupProbe: {exec: {command: [a]}, successThreshold: 2}", "spec.containers[0].startupProbe.successThreshold: Invalid value: 2: must be 1"},
		{"grace for readiness", "readinessProbe: {exec: {command: [a]}, terminationGracePeriodSeconds: 1}", "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes"},
		{"no grace", "livenessProbe: {exec: {command: [a]}, terminationGracePeriodSeconds: 0}", "spec.containers[0].livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0"},
	})
}

func TestValidateVolumes(t *testing.T) {
	checkAll(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [{name: c, image: i}]\n  volumes: [%s]\n", []mistake{
		{"no source means emptyDir", "{name: a}", ""},
		{"no name", "{emptyDir: {}}", "spec.volumes[0].name: Required value"},
		{"a name with dots", "{name: a.b}", `spec.volumes[0].name: Invalid value: "a.b": must not contain dots`},
		{"one name twice", "{name: a}, {name: a}", `spec.volumes[1].name: Duplicate value: "a"`},
		{"two sources", "{name: a, emptyDir: {}, hostPath: {path: /}}", "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"},
		{"negative size", "{name: a, emptyDir: {sizeLimit: -1}}", `spec.volumes[0].emptyDir.sizeLimit: Forbidden: must be greater than or equal to 0`},
		{"no path", "{name: a, hostPath: {}}", "spec.volumes[0].hostPath.path: Required value"},
		{"a path that climbs", "{name: a, hostPath: {path: /a/../b}}", `spec.volumes[0].hostPath.path: Invalid value: "/a/../b": must not contain '..'`},
		{"a type of no path", "{name: a, hostPath: {path: /a, type: Folder}}", `spec.volumes[0].hostPath.type: Unsupported value: "Folder": supported values: ""`},
		{"no ConfigMap", "{name: a, configMap: {}}", "spec.volumes[0].configMap.name: Required value"},
		{"mode in decimal", "{name: a, configMap: {name: b, defaultMode: 644}}", "spec.volumes[0].configMap.defaultMode: Invalid value: 644: must be a number between 0 and 0777 (octal), both inclusive: write 0644"},
		{"mode in octal", "{name: a, secret: {secretName: b, defaultMode: 0644}}", ""},
		{"an item that climbs", "{name: a, secret: {secretName: b, items: [{key: a, path: ../b}]}}", `spec.volumes[0].secret.items[0].path: Invalid value: "../b": must not contain '..'`},
		{"an item where the links are", "{name: a, secret: {secretName: b, items: [{key: a, path: ..data}]}}", `spec.volumes[0].secret.items[0].path: Invalid value: "..data": must not start with '..'`},
		{"an item's mode", "{name: a, secret: {secretName: b, items: [{key: a, path: b, mode: 0o1777}]}}", "spec.volumes[0].secret.items[0].mode: Invalid value: 1023: must be a number between"},
		{"no claim", "{name: a, persistentVolumeClaim: {}}", "spec.volumes[0].persistentVolumeClaim.claimName: Required value"},
		{"a claim that would leave its directory", "{name: a, persistentVolumeClaim: {claimName: ..}}", `spec.volumes[0].persistentVolumeClaim.claimName: is not supported by podrun: no claim can have the name ".."`},
		{"a network volume", "{name: a, nfs: {server: s, path: /}}", "spec.volumes[0].nfs: is not supported by podrun: mount it on the machine and use hostPath"},
	})
}

func TestValidateOtherObjects(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	checkAll(t, "apiVersion: v1\nmetadata: {name: a}\n%s\n", []mistake{
		{"a key that is no file name", "kind: ConfigMap\ndata: {a/b: c}", `data[a/b]: Invalid value: "a/b": a valid config key must consist of`},
		{"a key that climbs", "kind: ConfigMap\ndata: {..: c}", `data[..]: Invalid value: "..": must not be '..'`},
		{"a binary key that climbs", "kind: ConfigMap\nbinaryData: {..: c2==}", `binaryData[..]: Invalid value: "..": must not be '..'`},
		{"as large as allowed", "kind: ConfigMap\ndata: {a: " + big + "}", ""},
		{"too large", "kind: ConfigMap\ndata: {a: " + big + ", b: c}", "data: Too long: may not be more than 1048576 bytes"},
		{"in both halves", "kind: ConfigMap\ndata: {a: b}\nbinaryData: {a: YQ==}", `data[a]: Invalid value: "a": duplicate of key present in binaryData`},
		{"too large a Secret", "kind: Secret\nstringData: {a: " + big + "x}", "data: Too long: may not be more than 1048576 bytes"},
		{"a Secret's key", "kind: Secret\nstringData: {a b: c}", `data[a b]: Invalid value: "a b": a valid config key`},
		{"certificate without its key", "kind: Secret\ntype: kubernetes.io/tls\nstringData: {tls.crt: a}", "data[tls.key]: Required value: a Secret of type kubernetes.io/tls has it"},
		{"docker's file that is none", "kind: Secret\ntype: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: secret-word}", `data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": must be a JSON object`},
		{"nobody's password", "kind: Secret\ntype: kubernetes.io/basic-auth", "data[password]: Required value: a Secret of type kubernetes.io/basic-auth has a username or a password\ndata[username]: Required value"},
		{"a plain text for base64", "kind: Secret\ndata: {a: p@ss}", "data[a]: must be base64: illegal base64 data at input byte 1"},
		{"claim without access", "kind: PersistentVolumeClaim\nspec: {resources: {requests: {storage: 1}}}", "spec.accessModes: Required value"},
		{"claim of an unknown access", "kind: PersistentVolumeClaim\nspec: {accessModes: [RWO], resources: {requests: {storage: 1}}}", `spec.accessModes: Unsupported value: "RWO"`},
		{"claim of no size", "kind: PersistentVolumeClaim\nspec: {accessModes: [ReadWriteOnce]}", "spec.resources[storage]: Required value"},
		{"claim of size 0", "kind: PersistentVolumeClaim\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 0}}}", `spec.resources[storage]: Invalid value: "0": must be greater than zero`},
		{"claim of a device", "kind: PersistentVolumeClaim\nspec: {accessModes: [ReadWriteOnce], volumeMode: Block, resources: {requests: {storage: 1}}}", `spec.volumeMode: is not supported by podrun: there are no block volumes`},
		{"one access with others", "kind: PersistentVolumeClaim\nspec: {accessModes: [ReadWriteOnce, ReadWriteOncePod], resources: {requests: {storage: 1}}}", "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"},
		{"claim that copies", "kind: PersistentVolumeClaim\nspec: {accessModes: [ReadWriteOnce], dataSource: {kind: X, name: z}, resources: {requests: {storage: 1}}}", "spec.dataSource: is not supported by podrun: a claim starts empty"},
	})
}
