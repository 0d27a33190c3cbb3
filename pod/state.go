package pod

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
)

// stage is how far the attempt in hand of a container has come.
type stage string

const (
	stageWaiting   stage = ""          // nothing of it exists
	stagePreparing stage = "preparing" // its image is being ensured, its process created
	stagePrepared  stage = "prepared"  // its process exists, blocked before the command
	stageStarting  stage = "starting"  // Start was asked for: the command may run
	stageRunning   stage = "running"
	stageExited    stage = "exited" // it ended, and is recorded in Last
)

// state is everything the loop knows. It is changed by messages (observe.go) and
// by the intents of a plan (act.go), and only on the loop's goroutine.
type state struct {
	pod       *v1.Pod
	init      []*container
	app       []*container
	ephemeral []*container
	all       []*container // those, in the order in which they start
	started   time.Time    // the pod's startTime
	// since is started on this process's clock, which nobody can set.
	since time.Time
	// custom are the conditions that others have set.
	custom []v1.PodCondition
	// everStarted: from here on a failing container is a state of the pod.
	everStarted bool
	stop        *Stop
	ending      *Ending
	// restartingAll: every container is being ended, to begin anew.
	restartingAll bool
	notMade       *NotMade
	changed       bool // since the last save, in a way that time alone does not bring about
	closing       bool // Run's context ended: nothing new is begun
	ended         bool // the life is over, the sandbox is going
	sandbox       string
	sums          podSums
	events        []Event

	inForce     *v1.ResourceRequirements   // the pod's own that are in force
	resizing    bool                       // a Resize is under way
	unsettled   bool                       // the last one may have done a part of its work
	resizeError string                     // of the last one
	resizeAt    time.Time                  // when to try the next
	recursive   func(*v1.VolumeMount) bool // Config.RecursiveReadOnly
}

// container is one container of the spec and its attempt in hand.
type container struct {
	Record
	spec      *v1.Container
	init      bool
	ephemeral bool

	// What follows is not kept in a checkpoint.

	flight    bool      // a prepare, start or remove of this container is under way
	pulling   bool      // and it was told that its image is being pulled
	cancelled bool      // and was told to give up
	lost      bool      // not among the living: its Exit will be told
	early     *Exit     // told before Start's answer
	resumed   bool      // being started when the monitor died, and alive
	residue   error     // of the last removal, given up
	removals  int       // failed ones in a row
	remove    time.Time // when to try the next one

	asked     bool // in this life: one that died may not have come to it
	stopping  bool // the preStop hook was called
	abandoned bool // the postStart hook was told to give up
	killing   bool // SIGKILL is being sent
	killAgain time.Time

	probes [probeKinds]probeState
}

func newState(pod *v1.Pod, now time.Time) *state {
	s := &state{pod: pod, started: now, since: now, changed: true, inForce: pod.Spec.Resources}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		s.init = append(s.init, &container{Record: Record{Name: c.Name, Resources: c.Resources.DeepCopy()}, spec: c, init: true})
	}
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		s.app = append(s.app, &container{Record: Record{Name: c.Name, Resources: c.Resources.DeepCopy()}, spec: c})
	}
	s.all = append(append(s.all, s.init...), s.app...)
	for i := range pod.Spec.EphemeralContainers {
		s.addEphemeral(&pod.Spec.EphemeralContainers[i])
	}
	return s
}

func (s *state) find(name string) *container {
	for _, c := range s.all {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// sidecar reports whether the container is an init container that is kept running.
func (c *container) sidecar() bool { return c.init && IsSidecar(c.spec) }

// path is the container's field path in an event.
func (c *container) path() string {
	switch {
	case c.init:
		return fmt.Sprintf("spec.initContainers{%s}", c.Name)
	case c.ephemeral:
		return fmt.Sprintf("spec.ephemeralContainers{%s}", c.Name)
	}
	return fmt.Sprintf("spec.containers{%s}", c.Name)
}

// exists reports whether a process of the attempt in hand may exist.
func (c *container) exists() bool {
	return c.Stage == stagePreparing || c.Stage == stagePrepared || c.Stage == stageStarting || c.Stage == stageRunning
}

// here reports whether a process of the attempt in hand may exist in the
// present sandbox. Of one in an earlier sandbox only the exit is still to come.
func (c *container) here() bool {
	return c.exists() && !(c.lost && c.Again == againSandbox)
}

// begun reports whether the present sandbox has seen an attempt.
func (c *container) begun() bool {
	return c.here() || c.Last != nil && (c.Again == "" || c.Again == againReplaced)
}

// onTheWay reports whether the attempt in hand was begun and has neither
// started nor failed.
func (c *container) onTheWay() bool {
	return c.Stage == stagePreparing || c.Stage == stagePrepared || c.Stage == stageStarting ||
		c.Stage == stageRunning && c.PostStart != hookNone
}

// clean reports whether nothing of the container exists and nothing is under way.
func (c *container) clean() bool {
	return !c.flight && !c.exists() && (c.Stage != stageExited || c.Removed) && (!c.Dirty || c.residue != nil)
}

// leaving reports whether the pod only has what exists to end.
func (s *state) leaving() bool { return s.stop != nil || s.ending != nil || s.notMade != nil }

// halting reports whether what exists has to end, for good or to begin anew.
func (s *state) halting() bool { return s.leaving() || s.restartingAll }
