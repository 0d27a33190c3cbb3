package pod

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

var update = flag.Bool("update", false, "write the golden files")

// TestStatusDocument pairs a pod in the middle of its life with its status as
// the API shows it.
func TestStatusDocument(t *testing.T) {
	pod := sidecars(newPod(v1.RestartPolicyAlways, "setup", "proxy", "|", "web", "crash", "absent", "db"), "proxy")
	pod.Generation = 2
	pod.Spec.ReadinessGates = []v1.PodReadinessGate{{ConditionType: "example.com/gate"}}
	pod.Spec.InitContainers[1].Resources.Requests = v1.ResourceList{v1.ResourceCPU: resource.MustParse("100m")}
	pod.Spec.Containers[0].Resources = v1.ResourceRequirements{
		Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse("250m"), v1.ResourceMemory: resource.MustParse("16Mi")},
		Limits:   v1.ResourceList{v1.ResourceMemory: resource.MustParse("32Mi")},
	}
	pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "data", MountPath: "/data"}, {Name: "conf", MountPath: "/conf", ReadOnly: true}}
	bubble(t, pod, func(l *test) {
		l.pulled = true
		l.always["image absent"] = &Failure{Reason: "ErrImageNeverPull", Message: "the image is not there", Err: errBroken}
		l.always["image db"] = &Failure{Reason: "InvalidImageName", Err: errBroken}
		l.begin(nil)
		l.sleep(time.Second)
		l.exit("setup", Exit{})
		l.life.SetCondition(v1.PodCondition{Type: "example.com/gate", Status: v1.ConditionFalse, Reason: "Shut"})
		l.exit("crash", Exit{Code: 1, Message: "why"})
		l.sleep(time.Second)
		l.exit("crash", Exit{Signal: 9, OOMKilled: true})
		got, err := json.MarshalIndent(l.life.Status(), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		golden := filepath.Join("testdata", "status.json")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("got\n%s", got)
		}
		l.wantEvent(`Normal Pulling spec.containers{web} Pulling image "busybox"`)
		l.wantEvent(`Normal Pulled spec.containers{web} Successfully pulled image "busybox" in 1.234s (1.234s including waiting). Image size: 4096 bytes.`)
		l.wantEvent(`Warning ErrImageNeverPull spec.containers{absent} Container image "busybox" is not present with pull policy of Never`)
		l.wantEvent("Warning InspectFailed spec.containers{db} broken")
	})
}

// TestStatusIsACopy: what a caller does to a status does not reach the pod's.
func TestStatusIsACopy(t *testing.T) {
	bubble(t, newPod(v1.RestartPolicyAlways, "web"), func(l *test) {
		l.begin(nil)
		st := l.life.Status()
		st.ContainerStatuses[0].State.Running.StartedAt.Time = time.Time{}
		if l.status("web").State.Running.StartedAt.IsZero() {
			t.Error("the status was changed from outside")
		}
	})
}
