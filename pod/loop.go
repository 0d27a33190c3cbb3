package pod

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Life is the life of one pod. Run lives it; the other methods may be called at
// any time, from any goroutine.
type Life struct {
	cfg     Config
	running chan struct{} // closed when Run begins
	ended   chan struct{} // closed when Run has returned
	status  atomic.Pointer[v1.PodStatus]

	mutex sync.Mutex
	mail  []message
	bell  chan struct{} // holds a token while there is mail

	// What follows is the loop's alone.

	state    *state
	saved    Checkpoint
	told     bool // Save has been called
	attempts map[*container]attemptContext
	hooks    map[*container]context.CancelFunc // of the postStart hook called last
	flights  int                               // Runtime and Prober calls under way
}

// message changes the state by what has happened outside.
type message struct {
	apply func(s *state, now time.Time)
	saved chan<- struct{} // closed once the change is saved; may be nil
	probe bool            // it is a probe's result, which sets state.changed if it changes anything
}

// New makes the life of a pod, or with a Checkpoint the rest of it. It starts
// nothing.
func New(cfg Config) *Life {
	now := time.Now()
	l := &Life{
		cfg:      cfg,
		running:  make(chan struct{}),
		ended:    make(chan struct{}),
		bell:     make(chan struct{}, 1),
		state:    newState(cfg.Pod, now),
		attempts: map[*container]attemptContext{},
		hooks:    map[*container]context.CancelFunc{},
	}
	l.state.recursive = cfg.RecursiveReadOnly
	l.state.sandbox = cfg.Sandbox
	var status v1.PodStatus
	if cfg.Checkpoint != nil {
		status = *cfg.Checkpoint.Status.DeepCopy()
		l.state.resume(cfg.Checkpoint, cfg.Alive, now)
		l.saved = *cfg.Checkpoint
	}
	setAddresses(&status, &cfg)
	status = l.state.status(status, now)
	l.status.Store(&status)
	return l
}

// Status is the pod's present status, the caller's to keep.
func (l *Life) Status() v1.PodStatus { return *l.status.Load().DeepCopy() }

// Stop ends the pod: its containers are asked to end, and killed when the grace
// period is over, by default the pod's own. 0 kills them at once. Of several
// calls the one that ends the pod first counts. Stop does not wait; Run returns.
func (l *Life) Stop(graceSeconds *int64) {
	l.post(message{apply: func(s *state, now time.Time) { s.requestStop(graceSeconds, now) }})
}

// SetAddresses tells of the addresses of a status, where they were not known yet
// when the life was made. It does not wait.
func (l *Life) SetAddresses(from *v1.PodStatus) {
	known := Config{HostIP: from.HostIP, PodIP: from.PodIP, HostIPs: from.HostIPs, PodIPs: from.PodIPs}
	l.post(message{apply: func(*state, time.Time) {
		status := l.Status()
		setAddresses(&status, &known)
		l.status.Store(&status)
	}})
}

// podIP is where probes and hooks go.
func (l *Life) podIP() string { return l.status.Load().PodIP }

// Exited tells how an attempt of a container ended. It may be told twice. It
// returns when the exit is saved, so that what else remembers it may forget it,
// or when Run has returned. Before Run it returns at once, and the exit is the
// first thing that Run sees.
func (l *Life) Exited(container string, attempt int, e Exit) {
	l.settle(func(s *state, now time.Time) { s.observeExit(container, attempt, e, now) })
}

// settle returns when what was applied is saved, or when Run has returned; before
// Run at once.
func (l *Life) settle(apply func(*state, time.Time)) {
	saved := make(chan struct{})
	l.post(message{apply: apply, saved: saved})
	select {
	case <-l.running:
	default:
		return
	}
	select {
	case <-saved:
	case <-l.ended:
	}
}

func (l *Life) post(m message) {
	l.mutex.Lock()
	l.mail = append(l.mail, m)
	l.mutex.Unlock()
	select {
	case l.bell <- struct{}{}:
	default:
	}
}

func (l *Life) collect() []message {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	mail := l.mail
	l.mail = nil
	return mail
}

// Run lives the pod until it reaches a terminal phase or is stopped; by then
// every container has ended and was removed. What could not be removed is the
// error beside the outcome. A pod of which nothing could ever be started ends
// with a *NotMade. When ctx ends first, Run gives up what is under way, leaves
// the containers as they are for a next Life, and returns ctx's error.
// It is called once, and leaves no goroutine behind.
func (l *Life) Run(ctx context.Context) (Outcome, error) {
	close(l.running)
	defer close(l.ended)
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	timer := time.NewTimer(0)
	timer.Stop()
	defer timer.Stop()
	leave := ctx.Done()
	for {
		p := l.turn(work)
		if p.done && l.flights == 0 {
			return l.finish(ctx)
		}
		if p.wake.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(p.wake))
		}
		select {
		case <-l.bell:
		case <-timer.C:
		case <-leave:
			leave = nil
			l.state.closing = true
			cancel()
		}
	}
}

// turn takes in what happened, decides, saves and acts.
func (l *Life) turn(ctx context.Context) plan {
	now := time.Now()
	mail := l.collect()
	for _, m := range mail {
		m.apply(l.state, now)
		l.state.changed = l.state.changed || !m.probe
	}
	l.state.elapse(now)
	l.endAttempts()
	p := l.state.plan(now)
	for _, a := range p.actions {
		l.state.intend(a, now)
		l.state.changed = l.state.changed || a.kind != actProbe
	}
	// A pod with many probes does little else than look at results that change nothing.
	if l.state.changed || !l.state.steady() {
		l.save(now)
	}
	l.state.changed = false
	for _, m := range mail {
		if m.saved != nil {
			close(m.saved)
		}
	}
	l.tell()
	for _, a := range p.actions {
		l.act(ctx, a)
	}
	if len(p.actions) > 0 {
		// An intent moves deadlines; and nothing of what is left to do now waits.
		p.wake = l.state.plan(now).wake
	}
	return p
}

// save makes the present state known, if it changed. The first state of a life is
// made known in any case: those who watch the pod may have come since the last one.
func (l *Life) save(now time.Time) {
	status := l.state.status(*l.status.Load(), now)
	l.status.Store(&status)
	next := l.state.checkpoint(status)
	if l.told && reflect.DeepEqual(next, l.saved) {
		return
	}
	told := next.at(now)
	told.Durable = l.durable(next)
	told.Status = *status.DeepCopy()
	l.cfg.Save(told)
	l.saved, l.told = next, true
}

// durable reports whether next holds what the saved checkpoint does not and
// nobody could tell again.
func (l *Life) durable(next Checkpoint) bool {
	if !reflect.DeepEqual(next.Stop, l.saved.Stop) || !reflect.DeepEqual(next.Ending, l.saved.Ending) ||
		next.RestartingAll != l.saved.RestartingAll {
		return true
	}
	phase := next.Status.Phase
	if phase != l.saved.Status.Phase && (phase == v1.PodSucceeded || phase == v1.PodFailed) {
		return true
	}
	for i, r := range next.Containers {
		if i < len(l.saved.Containers) && r.Last != l.saved.Containers[i].Last {
			return true
		}
	}
	return false
}

func (l *Life) tell() {
	if l.cfg.Event != nil {
		for _, e := range l.state.events {
			l.cfg.Event(e)
		}
	}
	l.state.events = nil
}

func (l *Life) finish(ctx context.Context) (Outcome, error) {
	s := l.state
	if s.closing {
		return Outcome{}, context.Cause(ctx)
	}
	var residue []error
	for _, c := range s.all {
		if c.residue != nil {
			residue = append(residue, c.residue)
		}
	}
	if s.notMade != nil {
		return Outcome{}, errors.Join(append([]error{s.notMade}, residue...)...)
	}
	s.ended = !s.suspending()
	l.save(time.Now())
	return Outcome{Status: l.Status(), Stopped: s.stop != nil, Suspended: s.suspending()}, errors.Join(residue...)
}
