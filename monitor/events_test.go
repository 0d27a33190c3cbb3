package monitor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"podrun/pod"
	"podrun/state"
)

func eventKeeper(s *state.Store) *monitor {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: "1"}}
	return &monitor{store: s, record: &state.Record{Pod: p}, pod: p}
}

func happen(reason string, at time.Time) pod.Event {
	return pod.Event{Time: at, Type: "Normal", Reason: reason, Message: reason}
}

// What a monitor has kept the next one goes on with.
func TestEventsAreCounted(t *testing.T) {
	s := newStore(t)
	if err := os.MkdirAll(s.PodDir("1"), 0o700); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for i := range 3 {
		m := eventKeeper(s)
		m.event(happen("Started", start.Add(time.Duration(2*i)*time.Second)))
		m.event(happen("Killing", start.Add(time.Duration(2*i+1)*time.Second)))
	}
	all, err := Events(s, "1")
	if err != nil || len(all) != 2 {
		t.Fatalf("got %+v, %v", all, err)
	}
	for i, reason := range []string{"Started", "Killing"} {
		if e := all[i]; e.Reason != reason || e.Count != 3 || e.Time.Sub(e.First) != 4*time.Second {
			t.Errorf("event %d: got %+v, want %s three times", i, e, reason)
		}
	}
}

func TestEventsAreBounded(t *testing.T) {
	s := newStore(t)
	if err := os.MkdirAll(s.PodDir("1"), 0o700); err != nil {
		t.Fatal(err)
	}
	m := eventKeeper(s)
	at := time.Now()
	for i := range 2000 {
		at = at.Add(time.Hour) // else they would be held back
		e := happen("Started", at)
		e.Message = strings.Repeat("x", 500) + fmt.Sprint(i%5)
		m.event(e)
		if info, err := os.Stat(filepath.Join(s.PodDir("1"), "events.jsonl")); err != nil || info.Size() > eventsLimit {
			t.Fatalf("after %d events: %v, %v", i, info.Size(), err)
		}
	}
	all, err := Events(s, "1")
	if err != nil || len(all) != 5 || all[4].Count != 400 {
		t.Errorf("got %d events, %v; want 5 of 400 each: %+v", len(all), err, all)
	}
}

func TestTrimLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := 0; ; i++ {
		fmt.Fprintf(f, "line %9d\n", i)
		before, _ := f.Stat()
		trimLog(f, path)
		after, _ := f.Stat()
		if after.Size() == before.Size() {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil || before.Size() < logLimit || len(data) > logKept || len(data) < logKept/2 ||
			!strings.HasPrefix(string(data), "line ") || !strings.HasSuffix(string(data), fmt.Sprintf("line %9d\n", i)) {
			t.Errorf("from %d bytes to %d: %.20q ... %v", before.Size(), len(data), data, err)
		}
		return
	}
}
