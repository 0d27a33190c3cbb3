package pod

import (
	"encoding/json"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// FuzzCheckpoint: a life begins with whatever a disk has made of the last
// checkpoint, and comes to an end when it is asked to.
func FuzzCheckpoint(f *testing.F) {
	pod := newPod(v1.RestartPolicyAlways, "a", "b")
	f.Add([]byte("{}"), byte(0))
	f.Add([]byte(`{"containers":[{"name":"a","attempt":-7},{"name":"a"},{"name":"none","attempt":9}]}`), byte(1))
	f.Add([]byte(`{"containers":[{"name":"a","attempt":2,"state":"running"}],"stop":{},"everStarted":true}`), byte(2))
	f.Fuzz(func(t *testing.T, text []byte, shape byte) {
		var c Checkpoint
		if json.Unmarshal(text, &c) != nil {
			return
		}
		bubble(t, pod.DeepCopy(), func(l *test) {
			for i, name := range []string{"a", "b"} {
				if shape>>i&1 != 0 {
					l.alive[name], l.exists[name], l.running[name] = int(shape>>4), int(shape>>4), int(shape>>4)
				}
			}
			c.Owed(l.alive)
			l.begin(&c)
			l.sleep(time.Second)
			l.life.Stop(ptr(int64(1)))
			l.sleep(time.Hour)
			select {
			case <-l.done:
			default:
				t.Errorf("the pod does not end: %s", text)
			}
			l.wrong = nil // of a checkpoint that says what cannot be
		})
	})
}
