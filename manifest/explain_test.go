package manifest

import (
	"fmt"
	"testing"
)

func TestExplain(t *testing.T) {
	for _, tc := range []struct{ path, want string }{
		{"", "Pod: a top-level object of apiVersion v1, honoured"},
		{"pods", "Pod: a top-level object of apiVersion v1, honoured"},
		{"spec.containers[0].image", "spec.containers[].image: string, honoured"},
		{"Pod.spec.initContainers.volumeMounts.mountPath", "spec.initContainers[].volumeMounts[].mountPath: string, honoured"},
		{"metadata.labels[app.kubernetes.io/name]", "metadata.labels: map of string to string, honoured"},
		{"spec.containers[].resources.limits[cpu]", "spec.containers[].resources.limits: map of string to quantity, honoured"},
		{"spec.containers.livenessProbe.httpGet.port", "spec.containers[].livenessProbe.httpGet.port: integer or string, honoured"},
		{"metadata.creationTimestamp", "metadata.creationTimestamp: time, no meaning here"},
		{"secret.data", "secret.data: map of string to base64 text, honoured"},
		{"spec.affinity.nodeAffinity", "spec.affinity.nodeAffinity: NodeAffinity, no meaning here, as part of spec.affinity"},
		{"spec.volumes.csi", "spec.volumes[].csi: CSIVolumeSource, refused"},
		{"spec.hostNetwrok", `spec has no field "hostNetwrok", did you mean "spec.hostNetwork"?`},
		{"livenessProbe", `Pod has no field "livenessProbe", did you mean "spec.containers[].livenessProbe"?`},
		{"cm.spec", `ConfigMap has no field "spec"; it has apiVersion, binaryData, data, immutable, kind, metadata`},
		{"pvc.spec.accessModes", "persistentvolumeclaim.spec.accessModes: list of string, honoured"},
		{"service", "Service is not supported by podrun; " + supported},
		{"deployments.spec.replicas", "Deployment is not supported by podrun; " + supported + "; write its spec.template as a Pod with a metadata.name"},
		{"sts", "StatefulSet is not supported by podrun; " + supported + "; write its spec.template as a Pod with a metadata.name"},
		{"spec.nodeSelector.disk", `spec.nodeSelector is map of string to string: it has no field "disk"`},
	} {
		info, err := Explain(tc.path)
		got := fmt.Sprintf("%s: %s, %s", info.Path, info.Type, info.Class)
		if info.Inside != "" {
			got += ", as part of " + info.Inside
		}
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%q\ngot  %s\nwant %s", tc.path, got, tc.want)
		}
	}
}
