package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"podrun/pod"
	"podrun/state"
)

func connect(t *testing.T, s *state.Store, request string) net.Conn {
	t.Helper()
	conn, err := dial(controlPath(s, uid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn
}

// awaitHangUp fails where the monitor does not hang up.
func awaitHangUp(t *testing.T, conn net.Conn, within time.Duration) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(within))
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the monitor does not hang up")
	}
}

// A client that connects and says nothing, or half of something.
func TestSilentClientIsDropped(t *testing.T) {
	t.Parallel()
	_, s := answering(t)
	silent, half := connect(t, s, ""), connect(t, s, `{"stop":`)
	awaitHangUp(t, silent, 4*requestTime)
	awaitHangUp(t, half, 4*requestTime)
}

// Nothing may happen to a pod for days, in which many watch for a moment.
func TestWatcherThatHangsUpIsForgotten(t *testing.T) {
	m, s := answering(t)
	conn := connect(t, s, "{}\n")
	m.board.await(t, 1)
	conn.Close()
	m.board.await(t, 0)
}

func TestManyClients(t *testing.T) {
	m, s := answering(t)
	m.board.post(phase(v1.PodRunning))
	first := connect(t, s, "{}\n")
	m.board.await(t, 1)
	for range maxClients + 20 {
		connect(t, s, "{}\n")
	}
	awaitHangUp(t, first, time.Minute)
	m.board.await(t, maxClients)
	last, _ := watch(s, Request{})
	next(t, last)
	m.clients.mu.Lock()
	defer m.clients.mu.Unlock()
	if got := len(m.clients.list); got > maxClients {
		t.Errorf("%d clients at once", got)
	}
}

// FuzzRequest takes what is said on the control socket as far as a pod that runs
// would be changed by it.
func FuzzRequest(f *testing.F) {
	old := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: uid, Labels: map[string]string{"a": "b"}},
		Spec:       v1.PodSpec{RestartPolicy: v1.RestartPolicyAlways, Containers: []v1.Container{{Name: "main", Image: "busybox"}}},
	}
	changed := old.DeepCopy()
	changed.Spec.Containers[0].Image = "other"
	changed.Spec.InitContainers = []v1.Container{{Name: "init", Image: "busybox"}}
	encoded, err := changed.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	grace := int64(3)
	for _, r := range []Request{{}, {Stop: true, GracePeriod: &grace}, {Refresh: true}, {Pod: encoded}, {Ephemeral: encoded}, {Attach: &Attach{"main", true}},
		{Condition: &v1.PodCondition{Type: "x"}}} {
		line, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(line, '\n'))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		r, rest, err := readRequest(bytes.NewReader(said))
		if err != nil {
			return
		}
		if i := bytes.IndexByte(said, '\n'); i < 0 || rest == nil {
			t.Fatalf("a request without an end: %+v", r)
		}
		var updated v1.Pod
		if r.Pod != nil && updated.Unmarshal(r.Pod) == nil && len(pod.CheckChange(old.DeepCopy(), &updated)) == 0 {
			if p := pod.Changed(old.DeepCopy(), &updated); p.UID != old.UID || p.Name != old.Name {
				t.Errorf("%s became %s", old.Name, p.Name)
			}
		}
		var added v1.EphemeralContainer
		if r.Ephemeral != nil && added.Unmarshal(r.Ephemeral) == nil {
			added.DeepCopy()
		}
	})
}
