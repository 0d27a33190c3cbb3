package pod

import (
	"cmp"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Checkpoint is what a pod's next monitor needs to go on, and what those who
// only look see. It is written as JSON.
type Checkpoint struct {
	Status v1.PodStatus `json:"status"`
	// Containers holds the init containers and then the others, in spec order.
	Containers []Record `json:"containers"`
	// EverStarted says that a container of the pod has run.
	EverStarted bool `json:"everStarted,omitempty"`
	// Stop is set once the pod is being ended from outside, Ending once it
	// comes to its end by itself.
	Stop   *Stop   `json:"stop,omitempty"`
	Ending *Ending `json:"ending,omitempty"`
	// RestartingAll is set while all containers end, to begin anew.
	RestartingAll bool `json:"restartingAll,omitempty"`
	// Resources are the pod's own that are in force.
	Resources *v1.ResourceRequirements `json:"podResources,omitempty"`
	// Since is when the pod began, on a clock that nobody sets; see Shift.
	Since time.Time `json:"since,omitzero"`
	// Sandbox is the one that the containers were in.
	Sandbox string `json:"sandbox,omitempty"`
	// Durable says that this checkpoint holds what cannot be learned again
	// (an exit, a request to stop, the end) and should reach the disk at once.
	Durable bool `json:"-"`
}

// Stop is a request to end the pod. Deadline.At is what the API calls
// deletionTimestamp, and Deadline.Length deletionGracePeriodSeconds.
type Stop struct {
	Deadline Deadline `json:"deadline"`
	// Resume: the pod is to go on later, as after the machine's next boot.
	Resume bool `json:"resume,omitempty"`
}

// Ending is a pod's own end: its containers have finished, or, with a Reason, it
// has failed as a whole. What still runs has until the Deadline.
type Ending struct {
	Deadline Deadline `json:"deadline"`
	// Reason and Message become the status's, and the phase is Failed.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// again is why a container runs again whatever its last end says.
type again string

const (
	// againSandbox: that was in a sandbox which is gone. Init containers do their
	// work again; of the others the restart policy decides.
	againSandbox again = "sandbox"
	// againAll: a restart rule has made all containers begin anew.
	againAll again = "all"
	// againReplaced: its definition has changed.
	againReplaced again = "replaced"
)

// Record is what is known of one container.
type Record struct {
	Name string `json:"name"`
	// Attempt is the number of the attempt in hand and Stage how far it has come.
	Attempt int   `json:"attempt"`
	Stage   stage `json:"stage,omitempty"`
	// ContainerID and User are those of the last container that started, Image,
	// ImageID and ImageConfig those of the last one that was created.
	ContainerID string            `json:"containerID,omitempty"`
	User        *v1.ContainerUser `json:"user,omitempty"`
	Image       string            `json:"image,omitempty"`
	ImageID     string            `json:"imageID,omitempty"`
	ImageConfig string            `json:"imageConfig,omitempty"`
	// Made is the image as the spec named it when the attempt in hand was begun.
	Made string `json:"made,omitempty"`
	// Resources are those in force for the container, or for its next attempt.
	Resources *v1.ResourceRequirements `json:"resources,omitempty"`
	StartedAt time.Time                `json:"startedAt,omitzero"`
	// Probes are where the probes of the running attempt stand, and ProbedFrom is
	// when it began to be probed. WasReady: it was once.
	Probes     []ProbeCount `json:"probes,omitempty"`
	ProbedFrom time.Time    `json:"probedFrom,omitzero"`
	WasReady   bool         `json:"wasReady,omitempty"`
	// Started: the startup probe succeeded, or there is none.
	Started bool `json:"started,omitempty"`
	// Ready is the last verdict of the readiness probe, or Started without one.
	Ready bool `json:"ready,omitempty"`
	// Last is the latest end of an attempt, Previous the one before.
	Last     *v1.ContainerStateTerminated `json:"last,omitempty"`
	Previous *v1.ContainerStateTerminated `json:"previous,omitempty"`
	// FinishedAt is Last's time in full precision.
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	// Replaced: the attempt in hand is being ended because its definition has changed.
	Replaced bool `json:"replaced,omitempty"`
	// Again is set from the end of what it tells of until the container runs again.
	Again again `json:"again,omitempty"`
	// Counted: the attempt to come shows in the restart count before it runs.
	Counted bool `json:"counted,omitempty"`
	// Interrupted: the last end was asked for by a Stop with Resume, whatever its exit code says.
	Interrupted bool `json:"interrupted,omitempty"`
	// Removed: what an exited attempt left was removed.
	Removed bool `json:"removed,omitempty"`
	// Dirty: something of an attempt may exist although none is in hand.
	Dirty bool `json:"dirty,omitempty"`
	// Kill is set while a failed probe ends the container; ProbeKilled says
	// that one did.
	Kill        *Deadline `json:"kill,omitempty"`
	ProbeKilled bool      `json:"probeKilled,omitempty"`
	// Asked is when the stop signal was sent to the attempt in hand.
	Asked time.Time `json:"asked,omitzero"`
	// PostStart is how far the hook of the attempt in hand is, HookError why it
	// failed. Stopped: the preStop hook is over.
	PostStart hookStage `json:"postStart,omitempty"`
	HookError string    `json:"hookError,omitempty"`
	Stopped   bool      `json:"stopped,omitempty"`
	// Failure is why the attempt in hand could not be made.
	Failure *Waiting `json:"failure,omitempty"`
	// NotBefore holds the next try back.
	NotBefore Deadline `json:"notBefore,omitzero"`
	Crash     Backoff  `json:"crash,omitzero"`
	Pull      Backoff  `json:"pull,omitzero"`
}

// ProbeCount is how many times in a row a probe had the same verdict, as far as
// that counts.
type ProbeCount struct {
	Probe string `json:"probe"`
	Good  bool   `json:"good,omitempty"`
	Run   int    `json:"run"`
	// At is when the one was asked for that was counted last.
	At time.Time `json:"at"`
}

// Waiting is why a container waits, and since when.
type Waiting struct {
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	At      time.Time `json:"at"`
	// Image cannot be pulled, where it is not the container's own.
	Image string `json:"image,omitempty"`
	// Waits: the container waits for something from outside.
	Waits bool `json:"waits,omitempty"`
}

// Owed lists, by container, the attempts that may have run and are not alive:
// their exits have to be told to the Life made from this checkpoint.
func (p *Checkpoint) Owed(alive map[string]int) map[string]int {
	owed := map[string]int{}
	for _, r := range p.Containers {
		attempt, found := alive[r.Name]
		if (r.Stage == stageStarting || r.Stage == stageRunning) && !(found && attempt == r.Attempt) {
			owed[r.Name] = r.Attempt
		}
	}
	return owed
}

// checkpoint copies what the state has to keep.
func (s *state) checkpoint(status v1.PodStatus) Checkpoint {
	p := Checkpoint{Status: status, EverStarted: s.everStarted, RestartingAll: s.restartingAll, Sandbox: s.sandbox, Since: s.since, Resources: s.inForce}
	if s.stop != nil {
		stop := *s.stop
		p.Stop = &stop
	}
	if s.ending != nil {
		ending := *s.ending
		p.Ending = &ending
	}
	for _, c := range s.all {
		r := c.Record
		r.Probes = c.counts()
		if r.Kill != nil {
			kill := *r.Kill
			r.Kill = &kill
		}
		p.Containers = append(p.Containers, r)
	}
	return p
}

// resume takes over from the life that saved p. What was being prepared is
// prepared again; what was being started is asked about again; what is not
// alive waits for its exit to be told.
func (s *state) resume(p *Checkpoint, alive map[string]int, now time.Time) {
	if p.Status.StartTime != nil {
		s.started = p.Status.StartTime.Time
		s.since = onClock(cmp.Or(p.Since, s.started), now)
	}
	s.everStarted, s.restartingAll = p.EverStarted, p.RestartingAll
	s.inForce = p.Resources
	s.custom = customConditions(p.Status.Conditions)
	if p.Stop != nil {
		s.stop = &Stop{Deadline: p.Stop.Deadline.resume(now), Resume: p.Stop.Resume}
	}
	if p.Ending != nil {
		ending := *p.Ending
		ending.Deadline = ending.Deadline.resume(now)
		s.ending = &ending
	}
	for _, r := range p.Containers {
		c := s.find(r.Name)
		if c == nil {
			continue
		}
		c.Record = r
		c.NotBefore = r.NotBefore.resume(now)
		if r.Kill != nil {
			kill := r.Kill.resume(now)
			c.Kill = &kill
		}
		if r.Failure != nil {
			f := *r.Failure
			f.At = onClock(f.At, now)
			c.Failure = &f
		}
		c.Asked = onClock(r.Asked, now)
		c.FinishedAt, c.ProbedFrom = onClock(r.FinishedAt, now), onClock(r.ProbedFrom, now)
		c.Crash.Updated, c.Pull.Updated = onClock(r.Crash.Updated, now), onClock(r.Pull.Updated, now)
		attempt, found := alive[r.Name]
		switch r.Stage {
		case stagePreparing, stagePrepared:
			c.Stage, c.Dirty = stageWaiting, true
		case stageExited:
			// A removal that was given up is worth another try.
			c.Removed = r.Removed && !r.Dirty
		case stageStarting, stageRunning:
			c.lost = !found || attempt != r.Attempt
			// What is gone serves nobody, though nobody has told its exit yet.
			c.Ready = c.Ready && !c.lost
			c.resumed = !c.lost && r.Stage == stageStarting
		}
		if r.Stage == stageRunning && r.PostStart == hookCalled {
			// As after a kubelet's restart: a hook is called once, and what came of
			// this one nobody knows.
			s.begin(c, now)
		} else if r.Stage == stageRunning {
			c.resumeProbes(now)
		}
	}
	if p.Sandbox != "" && p.Sandbox != s.sandbox {
		s.changeSandbox(now)
	}
}

// apiTime is t as the API shows it: whole seconds, no zone, no monotonic part,
// so that two equal times are equal bytes.
func apiTime(t time.Time) metav1.Time {
	if t.IsZero() {
		return metav1.Time{}
	}
	return metav1.Time{Time: t.UTC().Truncate(time.Second)}
}
