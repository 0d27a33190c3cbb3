package state

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func someRecord(uid string) *Record {
	return &Record{
		Created: time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC), LogDir: "/var/log/pods",
		Subnet: "10.244.0.0/16", Subnet6: "fd00:1::/64", LinkPrefix: "podrun", PullPolicy: v1.PullNever, Insecure: []string{"r:5000"}, OwnUsers: true,
		Pod: &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: types.UID(uid)},
			Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "a", Image: "busybox"}}},
		},
	}
}

func TestRecordRoundTrip(t *testing.T) {
	s := newStore(t)
	want := someRecord("1")
	must(t, s.WriteRecord(want))
	got, err := s.ReadRecord("1")
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got.Version != Version || got.UID() != "1" {
		t.Errorf("got version %d, uid %q", got.Version, got.UID())
	}
	if got, want := got.LogPath(), "/var/log/pods/ns_web_1"; got != want {
		t.Errorf("LogPath: got %q, want %q", got, want)
	}
	// An env may hold a password.
	for path, want := range map[string]os.FileMode{s.PodDir("1"): 0o700 | os.ModeDir, filepath.Join(s.PodDir("1"), "pod.json"): 0o600} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode() != want {
			t.Errorf("%s: got mode %v, want %v", path, info.Mode(), want)
		}
	}
}

func TestReadRecord(t *testing.T) {
	tests := []struct{ why, data, err string }{
		{"half made: the directory is there, the record is not", "", "no such file"},
		{"a newer version", `{"version":2,"pod":""}`, "use the newer podrun"},
		{"a newer version whose fields have other types", `{"version":2,"pod":["a"],"created":7}`, "use the newer podrun"},
		{"no pod", `{"version":1}`, "names no pod"},
		{"null", `null`, "names no pod"},
		{"cut short", `{"version":1,"pod":{"met`, "decode "},
		{"empty", " ", "decode "},
		{"a wrong type", `{"version":1,"pod":7}`, "decode "},
		{"the pod is no base64", `{"version":1,"pod":"?"}`, "decode "},
		{"the pod is no protobuf", `{"version":1,"pod":"/////w=="}`, "decode record of pod 1: "},
	}
	for _, test := range tests {
		s := newStore(t)
		must(t, os.MkdirAll(s.PodDir("1"), 0o700))
		if test.data != "" {
			must(t, os.WriteFile(filepath.Join(s.PodDir("1"), "pod.json"), []byte(test.data), 0o600))
		}
		_, err := s.ReadRecord("1")
		if err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got %v, want %q", test.why, err, test.err)
		}
		if got := errors.Is(err, os.ErrNotExist); got != (test.data == "") {
			t.Errorf("%s: os.ErrNotExist is %v", test.why, got)
		}
	}
}

func TestStatus(t *testing.T) {
	s := newStore(t)
	var got v1.PodStatus
	if err := s.ReadStatus("1", &got); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no status yet: got %v, want os.ErrNotExist", err)
	}
	if err := s.WriteStatus("1", got, Volatile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("write for a pod that is gone: got %v, want os.ErrNotExist", err)
	}
	must(t, s.WriteRecord(someRecord("1")))
	for _, d := range []Durability{Volatile, Durable} {
		want := v1.PodStatus{Phase: v1.PodRunning, PodIP: "10.244.0.2"}
		must(t, s.WriteStatus("1", want, d))
		must(t, s.ReadStatus("1", &got))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	must(t, os.WriteFile(filepath.Join(s.PodDir("1"), "status.json"), []byte(`{"phase":7, "version": 2}`), 0o600))
	if err := s.ReadStatus("1", &got); !errors.Is(err, ErrNewer) {
		t.Errorf("a later version: got %v, want %v", err, ErrNewer)
	}
	if err := s.WriteStatus("1", func() {}, Volatile); err == nil || !strings.HasPrefix(err.Error(), "encode status: ") {
		t.Errorf("a status that has no JSON: got %v", err)
	}
}

func TestEvents(t *testing.T) {
	s := newStore(t)
	if got := events(t, s); got != nil {
		t.Errorf("no events yet: got %q", got)
	}
	must(t, os.MkdirAll(s.PodDir("1"), 0o700))
	for i := range 3 {
		appendEvent(t, s, map[string]int{"n": i})
	}
	file := filepath.Join(s.PodDir("1"), "events.jsonl")
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	f.WriteString(`{"n":3,"mess`) // here the power went
	must(t, f.Close())
	want := []string{`{"n":0}`, `{"n":1}`, `{"n":2}`}
	if got := events(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("after a cut: got %q, want %q", got, want)
	}
	appendEvent(t, s, map[string]int{"n": 4})
	if got, want := events(t, s), append(want, `{"n":4}`); !reflect.DeepEqual(got, want) {
		t.Errorf("after the event that follows a cut: got %q, want %q", got, want)
	}
	if _, err := s.AppendEvent("none", 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an event of a pod that is gone: got %v, want os.ErrNotExist", err)
	}
}

// appendEvent wants to be told the size of the file.
func appendEvent(t testing.TB, s *Store, event any) {
	t.Helper()
	size, err := s.AppendEvent("1", event)
	must(t, err)
	info, err := os.Stat(filepath.Join(s.PodDir("1"), "events.jsonl"))
	must(t, err)
	if size != info.Size() {
		t.Errorf("the file of events has %d bytes, told %d", info.Size(), size)
	}
}

func TestReplaceEvents(t *testing.T) {
	s := newStore(t)
	must(t, os.MkdirAll(s.PodDir("1"), 0o700))
	appendEvent(t, s, 1)
	must(t, s.ReplaceEvents("1", []any{2, "three"}))
	appendEvent(t, s, 4)
	if got, want := events(t, s), []string{"2", `"three"`, "4"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func events(t testing.TB, s *Store) (lines []string) {
	t.Helper()
	must(t, s.EachEvent("1", func(line []byte) { lines = append(lines, strings.TrimSuffix(string(line), "\n")) }))
	return lines
}

// Whatever a disk makes of the files, a reader returns.
func FuzzReaders(f *testing.F) {
	encoded, err := someRecord("1").encode()
	if err != nil {
		f.Fatal(err)
	}
	whole, err := json.Marshal(encoded)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", "null", "{}\n{\"a\":1}\n{\"b", `{"version":9}`, `{"pod":[]}`, "\x00\n\n", string(whole)} {
		f.Add([]byte(seed))
	}
	s := newStore(f)
	must(f, os.MkdirAll(s.PodDir("1"), 0o700))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range []string{"pod.json", "status.json", "events.jsonl"} {
			must(t, os.WriteFile(filepath.Join(s.PodDir("1"), name), data, 0o600))
		}
		if r, err := s.ReadRecord("1"); err == nil && (r.Pod == nil || r.Version > Version) {
			t.Errorf("accepted %+v", r)
		}
		var status v1.PodStatus
		s.ReadStatus("1", &status)
		before := events(t, s)
		for _, line := range before {
			if !json.Valid([]byte(line)) {
				t.Errorf("event %q is no JSON", line)
			}
		}
		appendEvent(t, s, "next")
		after := events(t, s)
		// A last line that only lacks its end is whole again.
		if n := len(after) - len(before); n < 1 || n > 2 || after[len(after)-1] != `"next"` {
			t.Errorf("an event after %q: got %q, had %q", data, after, before)
		}
	})
}
