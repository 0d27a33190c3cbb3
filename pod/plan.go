package pod

import "time"

type actionKind int

const (
	actPrepare   actionKind = iota // ensure the image, create the process
	actStart                       // release it
	actTerminate                   // ask it to end
	actKill                        // end it
	actRemove                      // clear up after it
	actCancel                      // give up the preparation or start under way
	actProbe
	actResize    // of the pod
	actPostStart // call the hook
	actAbandon   // give the postStart hook up
	actPreStop   // call the hook
)

// action is one thing to do about the attempt in hand of a container.
type action struct {
	kind  actionKind
	on    *container
	probe probeKind // of an actProbe
}

// plan is what to do now, when to look again if nothing happens before (zero:
// never), and whether nothing is left to do at all.
type plan struct {
	actions []action
	wake    time.Time
	done    bool
}

func (p *plan) do(kind actionKind, on *container) {
	p.actions = append(p.actions, action{kind: kind, on: on})
}

func (p *plan) wakeAt(t time.Time) { p.wake = earliest(p.wake, t) }

// plan decides, without changing anything, what follows from the state at the
// moment now. It is the kubelet's computePodActions for this pod.
func (s *state) plan(now time.Time) plan {
	var p plan
	if s.closing {
		// The containers are left to the next monitor.
		return plan{done: true}
	}
	for _, c := range s.all {
		s.planRemoval(&p, c, now)
		s.planHook(&p, c)
		s.planEnd(&p, c, now)
		s.planProbes(&p, c, now)
		p.wakeAt(c.statusChange(now))
	}
	if !s.halting() {
		s.planResize(&p, now)
		s.planPrepare(&p, now)
		s.planStart(&p)
	}
	if !s.leaving() {
		p.wakeAt(s.deadline())
	}
	if s.restartingAll && now.Before(s.restartDue(now)) {
		p.wakeAt(s.restartDue(now))
	}
	p.done = len(p.actions) == 0 && s.leaving() && s.clean()
	return p
}

func (s *state) clean() bool {
	for _, c := range s.all {
		if !c.clean() {
			return false
		}
	}
	return true
}

// planRemoval clears up after an attempt as soon as it has ended, since the next
// one needs its place, and after one that is not wanted any more.
func (s *state) planRemoval(p *plan, c *container, now time.Time) {
	over := c.Stage == stageExited && !c.Removed
	unwanted := s.halting() && (c.Stage == stagePrepared || c.Stage == stageWaiting && c.Dirty && c.residue == nil)
	switch {
	case c.flight || !over && !unwanted:
	case now.Before(c.remove):
		p.wakeAt(c.remove)
	default:
		p.do(actRemove, c)
	}
}

// planPrepare begins the attempts that are due: of the furthest init container,
// or of the next one if that lets it, and of the sidecars before; of every
// container at once when there is no further init container to wait for.
func (s *state) planPrepare(p *plan, now time.Time) {
	for _, c := range s.ephemeral {
		s.planAttempt(p, c, now)
	}
	if s.killsOne() {
		return
	}
	frontier := s.frontier()
	if frontier < 0 || s.letsNext(s.init[frontier]) {
		frontier++
	}
	for i, c := range s.init {
		if i == frontier || i < frontier && c.sidecar() {
			s.planAttempt(p, c, now)
		}
	}
	if s.initialized() {
		for _, c := range s.app {
			s.planAttempt(p, c, now)
		}
	}
}

// killsOne reports whether a container is being ended on its own, for a probe, a
// hook or a change. Until it has ended, its preStop hook and grace period
// included, a kubelet begins no other one: its SyncPod kills first, waits, and
// starts afterwards.
func (s *state) killsOne() bool {
	for _, c := range s.all {
		if c.Kill != nil && c.Stage == stageRunning && !c.ephemeral {
			return true
		}
	}
	return false
}

func (s *state) planAttempt(p *plan, c *container, now time.Time) {
	if c.flight || c.Stage == stageExited && (!c.Removed || !s.restarts(c)) || c.exists() {
		return
	}
	if c.outgrown() && s.resizeError == "" {
		return // first the pod has to have room for it
	}
	if !c.NotBefore.passed(now) {
		p.wakeAt(c.NotBefore.At)
		return
	}
	p.do(actPrepare, c)
}

// planStart releases what is prepared, in the order of the spec: a container's
// first start waits for those before it to have started or failed. While nothing
// has ever started it waits for all of them to be prepared, because until then
// one that cannot be made means that none will be; those that wait for something
// from outside it does not wait for.
func (s *state) planStart(p *plan) {
	for _, c := range s.ephemeral {
		s.planRelease(p, c)
	}
	for _, c := range s.init {
		s.planRelease(p, c)
	}
	if !s.initialized() {
		return
	}
	if !s.everStarted {
		for _, c := range s.app {
			if (c.Stage == stageWaiting || c.Stage == stagePreparing) && (c.Failure == nil || !c.Failure.Waits) {
				return
			}
		}
	}
	for _, c := range s.app {
		s.planRelease(p, c)
		if (c.Attempt == 0 || c.Again != "") && c.onTheWay() {
			return
		}
	}
}

func (s *state) planRelease(p *plan, c *container) {
	if !c.flight && c.Stage == stagePrepared {
		p.do(actStart, c)
	}
}
