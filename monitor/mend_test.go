package monitor

import (
	"strconv"
	"testing"
	"time"
)

// Who undoes every repair is not fought for ever at full speed, and who has
// stopped is forgotten.
func TestFight(t *testing.T) {
	now := time.Unix(1000, 0)
	var f fight
	for i := range fightRepairs {
		if got := f.round(now); got != mendGap {
			t.Fatalf("repair %d: got a wait of %v, want %v", i, got, mendGap)
		}
	}
	for range 3 {
		if got := f.round(now); got != fightGap {
			t.Errorf("too many repairs: got a wait of %v, want %v", got, fightGap)
		}
	}
	now = now.Add(fightGap)
	if got := f.round(now); got != mendGap {
		t.Errorf("after %v: got a wait of %v", fightGap, got)
	}
	if got := f.round(now); got != fightGap {
		t.Errorf("and at once again: got a wait of %v", got)
	}
	now = now.Add(time.Hour)
	if got := f.round(now); got != mendGap || f.rounds != 1 {
		t.Errorf("after an hour: got a wait of %v, %d rounds", got, f.rounds)
	}
}

func TestForeign(t *testing.T) {
	event := func(name string) []byte {
		e := make([]byte, 16, 48)
		padded := append([]byte(name), make([]byte, 16-len(name)%16)...)
		if name == "" {
			padded = nil
		}
		e[12] = byte(len(padded))
		return append(e, padded...)
	}
	for _, test := range []struct {
		why   string
		names []string
		want  bool
	}{
		{"a temporary that gets its name", []string{".status.json.123"}, false},
		{"events are appended", []string{"events.jsonl"}, false},
		{"the record", []string{"pod.json"}, true},
		{"the directory itself", []string{""}, true},
		{"the mark of the logs", []string{".podrun"}, true},
		{"several at once", []string{".pod.json.1", "events.jsonl", "lock"}, true},
		{"nothing", nil, false},
	} {
		var events []byte
		for _, n := range test.names {
			events = append(events, event(n)...)
		}
		if got := foreign(events); got != test.want {
			t.Errorf("%s: got %v, want %v", test.why, got, test.want)
		}
	}
}

// A look in the middle of a change must not take the new record for damage.
func TestChangeBesideLook(t *testing.T) {
	s := newStore(t)
	record := newRecord(s)
	m := &monitor{store: s, record: record, pod: record.Pod.DeepCopy()}
	g := newMender(m)
	for i := range 5 {
		changed := *record
		changed.Pod = record.Pod.DeepCopy()
		changed.Pod.Labels = map[string]string{"change": strconv.Itoa(i)}
		stored := make(chan error, 1)
		go func() { stored <- m.storeRecord(&changed) }()
		for busy := true; busy; {
			select {
			case err := <-stored:
				if err != nil {
					t.Fatal(err)
				}
				busy = false
			default:
			}
			if _, err := g.mendPodFile(); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.ReadRecord(m.uid())
		if err != nil || got.Pod.Labels["change"] != strconv.Itoa(i) {
			t.Fatalf("after change %d: %v, labels %v", i, err, got.Pod.Labels)
		}
	}
}
