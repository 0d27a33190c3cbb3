package pod

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The figures of client-go's EventCorrelator (tools/record/events_cache.go).
const (
	similarEvents = 10 // so many messages of one reason become one event ...
	similarSpan   = 10 * time.Minute
	eventBurst    = 25              // so many events of one type are kept at once ...
	eventRefill   = 5 * time.Minute // and one more after each such time
)

// maxEvents is how many events of one pod are kept.
const maxEvents = 256

// Correlator counts what happens again and again as one event, sums up what
// differs in its message only, and holds back what comes too often, as client-go
// does before it tells an API server. It is not safe for concurrent use.
type Correlator struct {
	pod     string
	named   int64             // when the last one was that was given a name, in ns
	known   map[string]*Event // by key
	similar map[string]*similar
	budgets map[string]*budget // by type
}

// similar are the messages of one type and reason of late.
type similar struct {
	messages map[string]bool
	last     time.Time
}

// budget is a bucket of tokens.
type budget struct {
	tokens float64
	at     time.Time
}

// NewCorrelator goes on with what earlier ones have kept of the pod's events.
func NewCorrelator(pod string, kept []Event) *Correlator {
	c := &Correlator{pod: pod, known: map[string]*Event{}, similar: map[string]*similar{}, budgets: map[string]*budget{}}
	for _, e := range kept {
		c.known[e.key()] = &e
		if at, err := strconv.ParseInt(e.Name[strings.LastIndex(e.Name, ".")+1:], 16, 64); err == nil {
			c.named = max(c.named, at)
		}
	}
	c.forget()
	return c
}

// combined begins the message of an event that sums up others.
const combined = "(combined from similar events): "

// key is the same for what counts as the same event again.
func (e *Event) key() string {
	if strings.HasPrefix(e.Message, combined) {
		return e.kind()
	}
	return fmt.Sprintf("%s\x00%s\x00%s\x00%s", e.Type, e.Reason, e.Object, e.Message)
}

// kind is the same for events that are alike.
func (e *Event) kind() string { return e.Type + "\x00" + e.Reason }

// Observe takes what has happened and returns the event as it is to be kept,
// which replaces an earlier one of its name; false says that there is no room
// for it at this rate.
func (c *Correlator) Observe(e Event) (Event, bool) {
	if c.manySimilar(&e) {
		e.Message = combined + e.Message
	}
	key := e.key()
	if was := c.known[key]; was != nil {
		e.First, e.Count, e.Name = was.First, was.Count+1, was.Name
	} else {
		// As client-go names them, but never two alike.
		c.named = max(c.named+1, e.Time.UnixNano())
		e.First, e.Count, e.Name = e.Time, 1, fmt.Sprintf("%s.%x", c.pod, c.named)
	}
	c.known[key] = &e
	c.forget()
	return e, c.take(e.Type, e.Time)
}

// manySimilar counts the messages of the event's type and reason.
func (c *Correlator) manySimilar(e *Event) bool {
	s := c.similar[e.kind()]
	if s == nil || e.Time.Sub(s.last) > similarSpan {
		s = &similar{messages: map[string]bool{}}
		c.similar[e.kind()] = s
	}
	s.last = e.Time
	if !s.messages[e.Message] && len(s.messages) == similarEvents-1 {
		return true // and is not remembered, so that they do not grow for ever
	}
	s.messages[e.Message] = true
	return false
}

func (c *Correlator) take(kind string, now time.Time) bool {
	b := c.budgets[kind]
	if b == nil {
		b = &budget{tokens: eventBurst, at: now}
		c.budgets[kind] = b
	}
	if since := now.Sub(b.at); since > 0 {
		b.tokens = min(eventBurst, b.tokens+float64(since)/float64(eventRefill))
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// forget drops the events that have been quiet for longest.
func (c *Correlator) forget() {
	for len(c.known) > maxEvents {
		var oldest string
		for key, e := range c.known {
			if oldest == "" || e.Time.Before(c.known[oldest].Time) {
				oldest = key
			}
		}
		delete(c.known, oldest)
	}
}

// Events are all that are kept, in the order of their last occurrence.
func (c *Correlator) Events() []Event {
	var all []Event
	for _, e := range c.known {
		all = append(all, *e)
	}
	SortEvents(all)
	return all
}

// SortEvents orders events by their last occurrence, and those of one moment as
// they were observed first.
func SortEvents(all []Event) {
	slices.SortStableFunc(all, func(a, b Event) int {
		if n := a.Time.Compare(b.Time); n != 0 {
			return n
		}
		return strings.Compare(a.Name, b.Name)
	})
}
