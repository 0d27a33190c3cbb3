package pod

import (
	"encoding/json"
	"time"
)

// The kubelet's figures: backOffPeriod, MaxContainerBackOff and client-go's
// flowcontrol.Backoff, which forgets after twice the maximum.
const (
	firstBackoff  = 10 * time.Second
	maxBackoff    = 300 * time.Second
	forgetBackoff = 2 * maxBackoff
	// retryPeriod is how long a kubelet waits before it syncs a pod again
	// whose container could not be created.
	retryPeriod = 10 * time.Second
)

// Backoff is the state of a doubling delay. The zero value has none.
type Backoff struct {
	Delay   time.Duration `json:"delay,omitempty"` // nanoseconds
	Updated time.Time     `json:"updated,omitzero"`
}

// wait reports how long after an event the next try has to wait. The first one
// does not wait at all, nor does one after ten minutes without trouble.
func (b Backoff) wait(event time.Time) time.Duration {
	if b.Delay == 0 || event.Sub(b.Updated) > forgetBackoff {
		return 0
	}
	return b.Delay
}

// next is the back-off after one more try, made now because of the event.
func (b Backoff) next(event, now time.Time) Backoff {
	if b.wait(event) == 0 {
		return Backoff{Delay: firstBackoff, Updated: now}
	}
	return Backoff{Delay: min(2*b.Delay, maxBackoff), Updated: now}
}

// Deadline is a moment together with the length of the wait for it, so that a
// clock that was set back meanwhile cannot make the wait longer than it was
// meant to be. The zero value has passed.
type Deadline struct {
	At     time.Time
	Length time.Duration
}

func after(now time.Time, length time.Duration) Deadline {
	return Deadline{At: now.Add(length), Length: length}
}

func (d Deadline) passed(now time.Time) bool { return !now.Before(d.At) }

// resume turns a deadline in wall time, read from disk or told by somebody else,
// into one that the wall clock can no longer move: time.Time's monotonic reading
// comes from now. What lies in the past has passed now.
func (d Deadline) resume(now time.Time) Deadline {
	if d == (Deadline{}) {
		return d
	}
	left := min(max(d.At.Sub(now), 0), d.Length)
	return Deadline{At: now.Add(left), Length: d.Length}
}

type deadlineJSON struct {
	At     time.Time `json:"at"`
	Length string    `json:"length"`
}

// MarshalJSON writes the moment as wall time and the length as "10s".
func (d Deadline) MarshalJSON() ([]byte, error) {
	return json.Marshal(deadlineJSON{d.At, d.Length.String()})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (d *Deadline) UnmarshalJSON(data []byte) error {
	var j deadlineJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	length, err := time.ParseDuration(j.Length)
	if err != nil {
		return err
	}
	*d = Deadline{At: j.At, Length: length}
	return nil
}

// earliest is the earlier of two moments, where zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
