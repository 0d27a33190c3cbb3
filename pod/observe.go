package pod

import (
	"errors"
	"time"

	v1 "k8s.io/api/core/v1"
)

// The steps of making a container, as NotMade names them.
const (
	stepImage  = "pull image of"
	stepCreate = "create"
	stepStart  = "start"
)

// The waiting and terminated reasons of the API that rules here depend on.
const (
	errImagePull         = "ErrImagePull"
	errImageNeverPull    = "ErrImageNeverPull"
	createContainerError = "CreateContainerError"
	createConfigError    = "CreateContainerConfigError"
	runContainerError    = "RunContainerError"
	startError           = "StartError"
	startErrorCode       = 128
	oomKilled            = "OOMKilled"
)

// A removal is tried a few times at once, then left to the next attempt's
// preparation, or to whoever takes down the sandbox.
const (
	removeTries = 3
	removeGap   = 100 * time.Millisecond
)

// preparation is what became of an actPrepare.
type preparation struct {
	image ImageStatus
	step  string // the one that failed
	err   error
	dirty error // of the removal after a failed creation
}

func (s *state) observePrepared(c *container, r preparation, now time.Time) {
	c.flight, c.cancelled = false, false
	c.Dirty = r.dirty != nil
	if r.image != (ImageStatus{}) {
		c.Image, c.ImageID, c.ImageConfig = r.image.Ref, r.image.ID, r.image.Config
		s.imageEvent(c, r.image, now)
	}
	if r.err == nil {
		c.Stage = stagePrepared
		c.Failure, c.Pull = nil, Backoff{}
		s.normal(c, now, "Created", "Container created")
		return
	}
	c.Stage = stageWaiting
	if s.closing || s.halting() || c.Made != c.spec.Image {
		return // and if there is another image now, that is tried at once
	}
	reason := createContainerError
	if r.step == stepImage {
		reason = errImagePull
	}
	w := waiting(r.err, reason, now)
	if !s.everStarted && !w.Waits && !c.ephemeral {
		s.notMade = &NotMade{Container: c.Name, Step: r.step, Reason: w.Reason, Err: r.err}
		return
	}
	c.Failure = w
	c.NotBefore = after(now, retryPeriod)
	switch {
	case w.Waits:
		s.observeWaiting(c, w, now)
		return
	case r.step == stepCreate:
		s.warn(c, now, "Failed", "Error: %s", w.Message)
		return
	case w.Reason == errImagePull:
		s.warn(c, now, "Failed", "Failed to pull image %q: %s", c.failedImage(), w.Message)
		c.Pull = c.Pull.next(now, now)
		c.NotBefore = after(now, c.Pull.Delay)
	case w.Reason == errImageNeverPull:
		s.warn(c, now, errImageNeverPull, "Container image %q is not present with pull policy of Never", c.failedImage())
	default:
		s.warn(c, now, "InspectFailed", "%s", w.Message)
	}
	s.warn(c, now, "Failed", "Error: %s", w.Reason)
	if w.Reason == errImagePull { // what the kubelet says at its next look at the pod
		s.normal(c, now, "BackOff", "Back-off pulling image %q", c.failedImage())
		s.warn(c, now, "Failed", "Error: ImagePullBackOff")
	}
}

// failedImage is the one that cannot be had: the container's, or a volume's.
func (c *container) failedImage() string {
	if c.Failure != nil && c.Failure.Image != "" {
		return c.Failure.Image
	}
	return c.spec.Image
}

// observePull tells of the begin of a pull.
func (s *state) observePull(c *container, attempt int, at time.Time) {
	if c.Attempt == attempt && c.Stage == stagePreparing {
		c.pulling = true
		s.normal(c, at, "Pulling", "Pulling image %q", c.spec.Image)
	}
}

// imageEvent tells where the image came from (pkg/kubelet/images, of 1.36, where
// KubeletEnsureSecretPulledImages is on).
func (s *state) imageEvent(c *container, image ImageStatus, now time.Time) {
	if !image.Pulled {
		s.normal(c, now, "Pulled", "Container image %q already present on machine and can be accessed by the pod", c.spec.Image)
		return
	}
	at := now
	if !c.pulling { // it was before this life
		s.observePull(c, c.Attempt, image.Began)
		at = image.Began.Add(image.Took)
	}
	took := image.Took.Truncate(time.Millisecond)
	s.normal(c, at, "Pulled", "Successfully pulled image %q in %v (%v including waiting). Image size: %v bytes.", c.spec.Image, took, took, image.Size)
}

// waiting is the API's view of an error.
func waiting(err error, reason string, now time.Time) *Waiting {
	w := &Waiting{Reason: reason, Message: err.Error(), At: now}
	if f, ok := errors.AsType[*Failure](err); ok {
		if f.Reason != "" {
			w.Reason = f.Reason
		}
		if f.Message != "" {
			w.Message = f.Message
		}
		w.Waits, w.Image = f.Waits, f.Image
	}
	return w
}

func (s *state) observeStarted(c *container, id string, at time.Time, err error, now time.Time) {
	c.flight, c.cancelled = false, false
	early := c.early
	c.early = nil
	if id != "" {
		c.ContainerID = id
	}
	if err != nil {
		s.observeStartError(c, err, early, now)
		return
	}
	if at.IsZero() || at.After(now) {
		at = now
	}
	s.everStarted = s.everStarted || !c.ephemeral
	c.Stage, c.StartedAt, c.Failure, c.resumed = stageRunning, at, nil, false
	c.WasReady = false
	s.normal(c, now, "Started", "Container started")
	if c.postStart() != nil {
		c.PostStart = hookDue
	} else {
		s.begin(c, now)
	}
	if early != nil {
		s.end(c, *early, now)
	}
}

func (s *state) observeStartError(c *container, err error, early *Exit, now time.Time) {
	switch {
	case c.resumed && early != nil:
		// It had been started by a monitor that died, and has ended since.
		s.everStarted = s.everStarted || !c.ephemeral
		s.end(c, *early, now)
	case s.closing:
		// Whether it was released is for the next monitor to find out.
	case s.halting():
		c.Stage = stagePrepared
	case !s.everStarted && !c.ephemeral:
		w := waiting(err, startError, now)
		c.Stage = stagePrepared
		s.notMade = &NotMade{Container: c.Name, Step: stepStart, Reason: w.Reason, Err: err}
	default:
		w := waiting(err, runContainerError, now)
		s.warn(c, now, "Failed", "Error: %s", w.Message)
		c.StartedAt = time.Time{}
		s.end(c, Exit{Code: startErrorCode, Reason: startError, Message: w.Message}, now)
		c.Failure = w
	}
}

// observeExit takes an exit that the monitor tells, maybe for the second time or
// for an attempt that is long over.
func (s *state) observeExit(name string, attempt int, e Exit, now time.Time) {
	c := s.find(name)
	if c == nil || attempt != c.Attempt {
		return
	}
	switch {
	case c.Stage == stageStarting && c.flight:
		c.early = &e
	case c.Stage == stageStarting, c.Stage == stageRunning:
		s.everStarted = s.everStarted || !c.ephemeral
		s.end(c, e, now)
	}
}

// end records that the attempt in hand is over and when the next may begin.
func (s *state) end(c *container, e Exit, now time.Time) {
	finished := e.At
	if finished.IsZero() || finished.After(now) {
		finished = now
	}
	c.Previous, c.Last = c.Last, &v1.ContainerStateTerminated{
		ExitCode:    exitCode(e),
		Reason:      exitReason(e),
		Message:     e.Message,
		StartedAt:   apiTime(c.StartedAt),
		FinishedAt:  apiTime(finished),
		ContainerID: c.ContainerID,
	}
	c.FinishedAt = finished
	c.endHooks(now)
	c.Stage, c.Removed, c.removals, c.remove = stageExited, false, 0, time.Time{}
	if !c.lost { // of an earlier sandbox
		c.Again, c.Counted = "", false
	}
	c.Interrupted = s.suspending() && !c.ephemeral
	if c.Replaced {
		c.Again, c.Replaced, c.Crash = againReplaced, false, Backoff{}
	}
	c.Started, c.Ready, c.Kill, c.lost, c.resumed = false, false, nil, false, false
	c.NotBefore = Deadline{}
	if !s.leaving() && restartsAll(c.spec, c.Last.ExitCode) {
		s.restartingAll = true
	}
	if s.halting() || !s.restarts(c) {
		return
	}
	if wait := c.Crash.wait(finished); wait > 0 {
		// resume keeps a finish long before or after our now from
		// stretching the wait.
		c.NotBefore = Deadline{At: finished.Add(wait), Length: wait}.resume(now)
		s.warn(c, now, "BackOff", "Back-off restarting failed container %s in pod %s", c.Name, s.podName())
	}
}

func exitCode(e Exit) int32 {
	if e.Signal > 0 {
		return int32(128 + e.Signal)
	}
	return int32(e.Code)
}

// exitReason is containerd's: an OOM kill inside the container is named even
// when its init then ended well.
func exitReason(e Exit) string {
	switch {
	case e.Reason != "":
		return e.Reason
	case e.OOMKilled:
		return oomKilled
	case exitCode(e) == 0:
		return "Completed"
	}
	return "Error"
}

func (s *state) observeRemoved(c *container, err error, now time.Time) {
	c.flight = false
	c.Dirty, c.residue = err != nil, nil
	if err != nil {
		c.removals++
		if c.removals < removeTries {
			c.remove = now.Add(removeGap << c.removals)
			return
		}
		c.residue = err
	}
	c.removals, c.remove = 0, time.Time{}
	if c.Stage == stageExited {
		c.Removed = true
	} else {
		c.Stage = stageWaiting
	}
}

// observeSignalled takes the answer of a Terminate or Kill. A failed Terminate is
// made good by the Kill at the end of the grace period, a failed Kill by the next.
func (s *state) observeSignalled(c *container, a actionKind, attempt int, err error, now time.Time) {
	if a == actKill {
		c.killing = false
	}
	if err != nil && c.Stage == stageRunning && c.Attempt == attempt {
		s.warn(c, now, "FailedKillPod", "error killing container %s: %v", c.Name, err)
	}
}
