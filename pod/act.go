package pod

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
)

// attemptContext ends when its attempt does.
type attemptContext struct {
	context.Context
	cancel context.CancelFunc
}

// intend notes in the state that an action is being taken. It is saved before
// the action is.
func (s *state) intend(a action, now time.Time) {
	c := a.on
	switch a.kind {
	case actPrepare:
		if c.Stage == stageExited {
			c.Attempt++
			if c.Again != againAll && c.Again != againReplaced {
				c.Crash = c.Crash.next(c.FinishedAt, now)
			}
			c.ProbeKilled = false
		}
		c.Stage, c.flight, c.pulling = stagePreparing, true, false
		c.Made, c.Replaced = c.spec.Image, false
		c.Resources = c.spec.Resources.DeepCopy()
		c.NotBefore = Deadline{}
		c.asked, c.Asked, c.killAgain, c.residue = false, time.Time{}, time.Time{}, nil
		c.stopping, c.Stopped = false, false
	case actStart:
		c.Stage, c.flight = stageStarting, true
	case actTerminate:
		c.asked = true
		if c.Asked.IsZero() {
			c.Asked = now
		}
	case actKill:
		c.killing, c.killAgain = true, now.Add(killRetry)
	case actRemove:
		c.flight = true
	case actCancel:
		c.cancelled = true
	case actResize:
		s.resizing = true
	case actProbe:
		c.probes[a.probe].begin(c.probeSpec(a.probe), now)
	case actPostStart:
		c.PostStart = hookCalled
	case actAbandon:
		c.abandoned = true
	case actPreStop:
		c.stopping = true
	}
}

// act takes an action, on a goroutine of its own that reports back by message.
func (l *Life) act(ctx context.Context, a action) {
	c, attempt, r := a.on, a.on.Attempt, l.cfg.Runtime
	switch a.kind {
	case actPrepare:
		work, spec, dirty := l.attempt(ctx, c), c.spec, c.Dirty
		l.fly(func() func(*state, time.Time) {
			pulling := func() {
				l.post(message{apply: func(s *state, now time.Time) { s.observePull(c, attempt, now) }})
			}
			p := prepare(work, r, spec, preparing{attempt, dirty, pulling})
			return func(s *state, now time.Time) { s.observePrepared(c, p, now) }
		})
	case actStart:
		work := l.attempt(ctx, c)
		l.fly(func() func(*state, time.Time) {
			id, at, err := r.Start(work, c.Name, attempt)
			user := r.User(c.Name, attempt)
			return func(s *state, now time.Time) {
				if err == nil {
					c.User = user
				}
				s.observeStarted(c, id, at, err, now)
			}
		})
	case actTerminate, actKill:
		signal := r.Terminate
		if a.kind == actKill {
			signal = r.Kill
		}
		l.fly(func() func(*state, time.Time) {
			err := signal(c.Name, attempt)
			return func(s *state, now time.Time) { s.observeSignalled(c, a.kind, attempt, err, now) }
		})
	case actRemove:
		spec := c.spec
		l.fly(func() func(*state, time.Time) {
			err := remove(r, spec, attempt)
			return func(s *state, now time.Time) { s.observeRemoved(c, err, now) }
		})
	case actCancel:
		l.attempts[c].cancel()
	case actResize:
		resizing := l.state.resizeOf()
		l.fly(func() func(*state, time.Time) {
			err := r.Resize(ctx, resizing)
			return func(s *state, now time.Time) { s.observeResized(resizing, err, now) }
		})
	case actProbe:
		work, on := l.attempt(ctx, c), &container{spec: c.spec, init: c.init} // as it is now
		l.launch(func() func(*state, time.Time) {
			v := l.probe(work, on, a.probe, attempt)
			return func(s *state, now time.Time) { s.observeProbe(c, a.probe, attempt, v, now) }
		}, true)
	case actPostStart, actAbandon, actPreStop:
		l.actOnHook(ctx, a)
	}
}

// fly runs a blocking call beside the loop and posts what it returns.
func (l *Life) fly(call func() func(*state, time.Time)) { l.launch(call, false) }

func (l *Life) launch(call func() func(*state, time.Time), probe bool) {
	l.flights++
	go func() {
		observe := call()
		l.post(message{probe: probe, apply: func(s *state, now time.Time) {
			l.flights--
			observe(s, now)
		}})
	}()
}

// attempt is the context of the container's attempt in hand.
func (l *Life) attempt(ctx context.Context, c *container) context.Context {
	if a, found := l.attempts[c]; found {
		return a
	}
	work, cancel := context.WithCancel(ctx)
	l.attempts[c] = attemptContext{work, cancel}
	return work
}

// endAttempts cancels what is under way, probes say, for attempts that are over.
func (l *Life) endAttempts() {
	for c, a := range l.attempts {
		if !c.exists() {
			a.cancel()
			delete(l.attempts, c)
		}
	}
}

// preparing is what a preparation goes by.
type preparing struct {
	attempt int
	dirty   bool
	pulling func()
}

// prepare ensures the image and creates the process. What a failed creation
// leaves is removed at once.
func prepare(ctx context.Context, r Runtime, c *v1.Container, p preparing) preparation {
	if p.dirty {
		if err := remove(r, c, p.attempt); err != nil {
			return preparation{step: stepCreate, err: err, dirty: err}
		}
	}
	image, err := r.Image(ctx, c, p.pulling)
	if err != nil {
		return preparation{step: stepImage, err: err}
	}
	if err := r.Create(ctx, c, p.attempt); err != nil {
		return preparation{image: image, step: stepCreate, err: err, dirty: remove(r, c, p.attempt)}
	}
	return preparation{image: image}
}

func remove(r Runtime, c *v1.Container, attempt int) error {
	if err := r.Remove(c.Name, attempt); err != nil {
		return fmt.Errorf("remove container %s: %w", c.Name, err)
	}
	return nil
}
