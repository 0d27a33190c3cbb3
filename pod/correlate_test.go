package pod

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var eventTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func unhealthy(after time.Duration, message string) Event {
	return Event{Time: eventTime.Add(after), Type: "Warning", Reason: "Unhealthy", Object: "spec.containers{web}", Message: message}
}

func TestCorrelatorCounts(t *testing.T) {
	c := NewCorrelator("web", nil)
	first, _ := c.Observe(unhealthy(0, "refused"))
	again, room := c.Observe(unhealthy(time.Minute, "refused"))
	if !room || again.Count != 2 || again.Name != first.Name || !again.First.Equal(eventTime) || !again.Time.Equal(eventTime.Add(time.Minute)) {
		t.Errorf("got %+v, want the second of %+v", again, first)
	}
	other := unhealthy(2*time.Minute, "refused")
	other.Object = "spec.containers{db}"
	if e, _ := c.Observe(other); e.Count != 1 || e.Name == first.Name {
		t.Errorf("of another container: got %+v", e)
	}
	// A later correlator goes on counting.
	c = NewCorrelator("web", c.Events())
	if e, _ := c.Observe(unhealthy(3*time.Minute, "refused")); e.Count != 3 || e.Name != first.Name {
		t.Errorf("after a resumption: got %+v", e)
	}
}

// The kernel's clock is coarse: several things happen at one moment.
func TestCorrelatorNames(t *testing.T) {
	c := NewCorrelator("web", nil)
	for i := range 3 {
		c.Observe(Event{Time: eventTime, Type: "Normal", Reason: fmt.Sprint(i)})
	}
	c = NewCorrelator("web", c.Events())
	c.Observe(Event{Time: eventTime, Type: "Normal", Reason: "3"})
	names := map[string]bool{}
	for i, e := range c.Events() {
		names[e.Name] = true
		if e.Reason != fmt.Sprint(i) {
			t.Errorf("event %d is %s", i, e.Reason)
		}
	}
	if len(names) != 4 {
		t.Errorf("got names %v, want four", names)
	}
}

func TestCorrelatorCombines(t *testing.T) {
	c := NewCorrelator("web", nil)
	var last Event
	for i := range 12 {
		last, _ = c.Observe(unhealthy(time.Duration(i)*time.Second, fmt.Sprintf("answer %d", i)))
		if combined := strings.HasPrefix(last.Message, "(combined from similar events): answer"); combined != (i >= 9) {
			t.Errorf("message %d: got %q", i, last.Message)
		}
	}
	if last.Count != 3 || len(c.Events()) != 10 {
		t.Errorf("got count %d of the last and %d events, want 3 and 10", last.Count, len(c.Events()))
	}
	c = NewCorrelator("web", c.Events())
	for i := range 10 {
		last, _ = c.Observe(unhealthy(time.Duration(20+i)*time.Second, fmt.Sprintf("reply %d", i)))
	}
	if last.Count != 4 {
		t.Errorf("after a resumption: got count %d of the combined, want 4", last.Count)
	}
	// What was long ago is not similar.
	if e, _ := c.Observe(unhealthy(time.Hour, "answer 100")); e.Message != "answer 100" {
		t.Errorf("got %q", e.Message)
	}
}

func TestCorrelatorHoldsBack(t *testing.T) {
	c := NewCorrelator("web", nil)
	kept := 0
	for i := range 100 {
		if _, room := c.Observe(unhealthy(time.Duration(i)*time.Second, "refused")); room {
			kept++
		}
	}
	if kept != eventBurst {
		t.Errorf("kept %d at once, want %d", kept, eventBurst)
	}
	if _, room := c.Observe(Event{Time: eventTime, Type: "Normal", Reason: "Killing"}); !room {
		t.Error("no room for an event of another type")
	}
	e, room := c.Observe(unhealthy(100*time.Second+eventRefill, "refused"))
	if !room || e.Count != 101 {
		t.Errorf("later: got %v, count %d, want 101", room, e.Count)
	}
}

func TestCorrelatorIsBounded(t *testing.T) {
	c := NewCorrelator("web", nil)
	for i := range 2 * maxEvents {
		c.Observe(Event{Time: eventTime.Add(time.Duration(i) * time.Second), Type: "Normal", Reason: fmt.Sprint(i)})
	}
	all := c.Events()
	if len(all) != maxEvents || all[0].Reason != fmt.Sprint(maxEvents) {
		t.Errorf("got %d events from %q on", len(all), all[0].Reason)
	}
}
