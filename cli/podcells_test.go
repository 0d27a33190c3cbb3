package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(noon.Add(-d)) }

// The cases are those of kubectl's printer (TestPrintPod in
// pkg/printers/internalversion), as far as podrun has the states.
func TestPodCells(t *testing.T) {
	signalled := func(reason string, signal, code int32) v1.ContainerState {
		return v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: reason, Signal: signal, ExitCode: code}}
	}
	waits := func(reason string) v1.ContainerState {
		return v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: reason}}
	}
	isReady := []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}}
	for _, test := range []struct {
		name       string
		containers int
		inits      int
		deleted    bool
		status     v1.PodStatus
		want       string // READY STATUS RESTARTS IP
	}{
		{"no status yet", 1, 0, false, v1.PodStatus{Phase: v1.PodPending}, "0/1|Pending|0|<none>"},
		{"one of two", 2, 0, false, v1.PodStatus{Phase: v1.PodRunning, PodIP: "10.0.0.2", ContainerStatuses: []v1.ContainerStatus{ready("a"), aContainer("b", running)}}, "1/2|Running|0|10.0.0.2"},
		{"ready by the last word, but gone", 1, 0, false, v1.PodStatus{Phase: v1.PodRunning, ContainerStatuses: []v1.ContainerStatus{{Ready: true, State: crashed}}}, "0/1|Error|0|<none>"},
		{"the first container's word counts", 2, 0, false, v1.PodStatus{Phase: v1.PodRunning, ContainerStatuses: []v1.ContainerStatus{aContainer("a", crashLoop), aContainer("b", waits("ErrImagePull"))}}, "0/2|CrashLoopBackOff|0|<none>"},
		{"the pod's reason", 1, 0, false, v1.PodStatus{Phase: v1.PodFailed, Reason: "Evicted"}, "0/1|Evicted|0|<none>"},
		{"a signal", 1, 0, false, v1.PodStatus{Phase: v1.PodRunning, ContainerStatuses: []v1.ContainerStatus{aContainer("a", signalled("", 9, 0))}}, "0/1|Signal:9|0|<none>"},
		{"a code", 1, 0, false, v1.PodStatus{Phase: v1.PodRunning, ContainerStatuses: []v1.ContainerStatus{aContainer("a", signalled("", 0, 7))}}, "0/1|ExitCode:7|0|<none>"},
		{"completed", 1, 0, false, v1.PodStatus{Phase: v1.PodSucceeded, ContainerStatuses: []v1.ContainerStatus{aContainer("a", completed)}}, "0/1|Completed|0|<none>"},
		{"one completed, one runs, ready", 2, 0, false, v1.PodStatus{Phase: v1.PodRunning, Conditions: isReady, ContainerStatuses: []v1.ContainerStatus{aContainer("a", completed), ready("b")}}, "1/2|Running|0|<none>"},
		{"one completed, one runs", 2, 0, false, v1.PodStatus{Phase: v1.PodRunning, ContainerStatuses: []v1.ContainerStatus{aContainer("a", completed), ready("b")}}, "1/2|NotReady|0|<none>"},
		{"init waits", 1, 2, false, v1.PodStatus{Phase: v1.PodPending, InitContainerStatuses: []v1.ContainerStatus{aContainer("i", pending), aContainer("j", pending)}}, "0/1|Init:0/2|0|<none>"},
		{"second init runs", 1, 2, false, v1.PodStatus{Phase: v1.PodPending, InitContainerStatuses: []v1.ContainerStatus{aContainer("i", completed), aContainer("j", running)}}, "0/1|Init:1/2|0|<none>"},
		{"init failed", 1, 1, false, v1.PodStatus{Phase: v1.PodPending, InitContainerStatuses: []v1.ContainerStatus{aContainer("i", crashed)}}, "0/1|Init:Error|0|<none>"},
		{"init signalled", 1, 1, false, v1.PodStatus{Phase: v1.PodPending, InitContainerStatuses: []v1.ContainerStatus{aContainer("i", signalled("", 15, 143))}}, "0/1|Init:Signal:15|0|<none>"},
		{"init's code", 1, 1, false, v1.PodStatus{Phase: v1.PodPending, InitContainerStatuses: []v1.ContainerStatus{aContainer("i", signalled("", 0, 2))}}, "0/1|Init:ExitCode:2|0|<none>"},
		{"init held back", 1, 1, false, v1.PodStatus{Phase: v1.PodPending, InitContainerStatuses: []v1.ContainerStatus{aContainer("i", crashLoop)}}, "0/1|Init:CrashLoopBackOff|0|<none>"},
		{"init done", 1, 1, false, v1.PodStatus{Phase: v1.PodRunning, InitContainerStatuses: []v1.ContainerStatus{aContainer("i", completed)}, ContainerStatuses: []v1.ContainerStatus{ready("a")}}, "1/1|Running|0|<none>"},
		{"ending", 1, 0, true, v1.PodStatus{Phase: v1.PodRunning, ContainerStatuses: []v1.ContainerStatus{ready("a")}}, "1/1|Terminating|0|<none>"},
		{"restarts of all", 2, 0, false, v1.PodStatus{Phase: v1.PodRunning, ContainerStatuses: []v1.ContainerStatus{
			{State: running, Ready: true, RestartCount: 1, LastTerminationState: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{FinishedAt: ago(3 * time.Hour)}}},
			{State: running, Ready: true, RestartCount: 2, LastTerminationState: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{FinishedAt: ago(10 * time.Second)}}},
		}}, "2/2|Running|3 (10s ago)|<none>"},
		{"restarts at an unknown time", 1, 0, false, v1.PodStatus{Phase: v1.PodRunning, ContainerStatuses: []v1.ContainerStatus{{State: running, Ready: true, RestartCount: 3}}}, "1/1|Running|3|<none>"},
	} {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", CreationTimestamp: ago(5 * time.Minute)}, Status: test.status}
		p.Spec.Containers = make([]v1.Container, test.containers)
		p.Spec.InitContainers = make([]v1.Container, test.inits)
		if test.deleted {
			at := ago(0)
			p.DeletionTimestamp = &at
		}
		cells := podCells(p, noon)
		if cells[0] != "p" || cells[4] != "5m" {
			t.Errorf("%s: got name %q and age %q", test.name, cells[0], cells[4])
		}
		if got := strings.Join([]string{cells[1], cells[2], cells[3], cells[5]}, "|"); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

func TestAgeOfAPodWithoutRecord(t *testing.T) {
	if got := podCells(&v1.Pod{}, noon)[4]; got != "<unknown>" {
		t.Errorf("got %q, want <unknown>", got)
	}
}

func TestPrintTable(t *testing.T) {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "1-2", CreationTimestamp: ago(time.Hour)}}
	p.Spec.Containers = []v1.Container{{Name: "a", Image: "x"}, {Name: "b", Image: "y"}}
	p.Status.Phase = v1.PodPending
	for _, test := range []struct {
		options tableOptions
		want    string
	}{
		{tableOptions{}, "NAME   READY   STATUS    RESTARTS   AGE   IP\nweb    0/2     Pending   0          60m   <none>\n"},
		{tableOptions{namespace: true}, "NAMESPACE   NAME   READY   STATUS    RESTARTS   AGE   IP\nshop        web    0/2     Pending   0          60m   <none>\n"},
		{tableOptions{wide: true}, "NAME   READY   STATUS    RESTARTS   AGE   IP       CONTAINERS   IMAGES   UID\nweb    0/2     Pending   0          60m   <none>   a,b          x,y      1-2\n"},
	} {
		var out bytes.Buffer
		test.options.now = noon
		if err := printTable(&out, []*v1.Pod{p}, test.options); err != nil {
			t.Fatal(err)
		}
		if out.String() != test.want {
			t.Errorf("got\n%swant\n%s", out.String(), test.want)
		}
	}
}
