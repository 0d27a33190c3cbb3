package monitor

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"podrun/pod"
	"podrun/sandbox"
	"podrun/state"
)

// sharing is the monitor of a pod that shares all that it can with the machine, so
// that build needs no sandbox for it. It has a port.
func sharing(t *testing.T, port int32) *monitor {
	t.Helper()
	s := newStore(t)
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: uid}, Spec: v1.PodSpec{
		HostNetwork: true, HostIPC: true,
		Containers: []v1.Container{{Name: "main", Ports: []v1.ContainerPort{{HostIP: "127.0.0.1", HostPort: port, Protocol: v1.ProtocolTCP}}}},
	}}
	if err := os.MkdirAll(s.PodDir(uid), 0o700); err != nil {
		t.Fatal(err)
	}
	path := sandbox.PodPath(s.Instance, uid)
	t.Cleanup(func() {
		if err := sandbox.RemoveCgroup(path); err != nil {
			t.Error(err)
		}
		sandbox.RemoveInstance(s.Instance)
	})
	return &monitor{store: s, record: &state.Record{LogDir: s.LogDir, Pod: p, MaxPIDs: -1}, pod: p, life: pod.New(pod.Config{Pod: p})}
}

// What build leaves in the background may fail as well: then the next container of
// a pod that runs tries again, and is not refused for ever.
func TestRebuildAfterTheBackgroundHasFailed(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	m := sharing(t, int32(taken.Addr().(*net.TCPAddr).Port))
	if err := m.build(); err != nil {
		t.Fatal(err)
	}
	if err := m.settled(); err == nil {
		t.Fatal("the port of another was taken for free")
	}
	if err := errors.Join(taken.Close(), m.rebuild()); err != nil {
		t.Fatal(err)
	}
	if err := m.settled(); err == nil {
		t.Error("a pod that was never made was tried again: it is to be removed")
	}
	m.resumed = true
	if err := m.rebuild(); err != nil {
		t.Fatal(err)
	}
	if err := m.settled(); err != nil {
		t.Errorf("got %v after the port became free", err)
	}
}

// A pod whose first build failed learns its addresses from the one that does not.
func TestRebuildTellsTheAddresses(t *testing.T) {
	m := sharing(t, 0)
	var ended pod.Checkpoint
	if err := json.Unmarshal([]byte(`{"everStarted": true, "containers": [{"name": "main", "stage": "exited", "removed": true, "last": {"exitCode": 0}}]}`), &ended); err != nil {
		t.Fatal(err)
	}
	m.pod.Spec.RestartPolicy = v1.RestartPolicyNever
	m.life = pod.New(pod.Config{Pod: m.pod, Checkpoint: &ended, Save: func(pod.Checkpoint) {}})
	if got := m.life.Status(); got.PodIP != "" {
		t.Fatalf("got %s before the build", got.PodIP)
	}
	m.unbuilt = true
	if err := errors.Join(m.rebuild(), m.settled()); err != nil {
		t.Fatal(err)
	}
	outcome, err := m.life.Run(t.Context())
	if got, want := outcome.Status, m.current().Status; err != nil || got.PodIP == "" || got.PodIP != want.PodIP || got.HostIP != want.HostIP {
		t.Errorf("got %s on %s, %v; want %s on %s", got.PodIP, got.HostIP, err, want.PodIP, want.HostIP)
	}
}

// A rebuild begins while the background of the build before is still at work.
func TestRebuildWaitsForTheBackground(t *testing.T) {
	m := sharing(t, 0)
	release, over := make(chan struct{}), false
	m.unbuilt, m.background = true, begin(func() error {
		<-release
		over = true
		return nil
	})
	rebuilt := make(chan error)
	go func() { rebuilt <- m.rebuild() }()
	select {
	case <-rebuilt:
		t.Fatal("two builds were at work at once")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if err := <-rebuilt; err != nil || !over {
		t.Errorf("got %v, the work before over: %v", err, over)
	}
	if err := m.settled(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(filesDir(m.store, uid), "hosts")); err != nil {
		t.Error(err)
	}
}
