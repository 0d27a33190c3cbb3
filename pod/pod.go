// Package pod is the life of one pod, the policy half of a kubelet: in which
// order its containers are prepared, started, probed, restarted and ended, and
// what the pod's status says meanwhile. The rules and the words are those of
// the kubelet of Kubernetes 1.36.
//
// It owns decisions only. How a container is made, signalled and removed is left
// to a Runtime, how a probe's request is sent to a Prober (both implemented
// elsewhere), and where a Checkpoint is kept to Config.Save. It makes no system
// call and knows no path.
//
// One goroutine, inside Run, owns all state. Each of its turns is the same five
// steps: take the messages that came in, plan (a pure function of the state and
// the time), note the intents, save, act. What was decided is therefore always
// on disk before it happens, and an exit before anything that follows from it.
package pod

import (
	"context"
	"fmt"
	"time"

	"podrun/probe"

	v1 "k8s.io/api/core/v1"
)

// Runtime makes, ends and inspects single containers. Its methods are called on
// goroutines of their own and may block; they must be safe for concurrent use.
// An attempt is the number of a container's restart, from 0; at most one attempt
// of a container exists at a time.
type Runtime interface {
	// Image applies the pull policy. An error may be a *Failure with one of the
	// reasons ErrImagePull (the default), ErrImageNeverPull, InvalidImageName.
	// It calls pulling when a pull begins.
	Image(ctx context.Context, c *v1.Container, pulling func()) (ImageStatus, error)
	// Create prepares an attempt: afterwards its process exists, blocked before
	// it executes the command. When ctx ends it gives up soon. Whatever a failed
	// Create leaves is undone by the Remove that always follows. An error may be
	// a *Failure: CreateContainerError (the default), CreateContainerConfigError.
	Create(ctx context.Context, c *v1.Container, attempt int) error
	// Start releases what Create prepared. It is asked again by a new monitor
	// that cannot know whether the old one got its answer; for an attempt that
	// was released, ended since or not, it then succeeds with the same identity
	// and time. Its error is told as a StartError.
	Start(ctx context.Context, container string, attempt int) (containerID string, startedAt time.Time, err error)
	// User is who the attempt's first process is; nil if that is not known.
	User(container string, attempt int) *v1.ContainerUser
	// Terminate sends the image's STOPSIGNAL, or SIGTERM, to the container's init.
	Terminate(container string, attempt int) error
	// Kill sends SIGKILL to every process of the container.
	Kill(container string, attempt int) error
	// Remove undoes Create; the logs stay. Removing what does not exist succeeds.
	Remove(container string, attempt int) error
	// Resize brings other resources of containers that run into force, and of
	// the pod as a whole. Asked again after it failed or was cut short, it goes on.
	Resize(ctx context.Context, r Resizing) error
	// Exec runs a command in a running container and reports its exit code and
	// the beginning of its output. When ctx ends, the command and its children
	// are killed and the error is ctx's.
	Exec(ctx context.Context, container string, attempt int, argv []string) (ExecResult, error)
}

// Prober sends the request of one probe; package probe has the real one. An
// error means that nothing was learned about the container.
type Prober interface {
	HTTP(ctx context.Context, t probe.HTTPTarget) (probe.Result, string, error)
	TCP(ctx context.Context, t probe.TCPTarget) (probe.Result, string, error)
	GRPC(ctx context.Context, t probe.GRPCTarget) (probe.Result, string, error)
	// Hook sends the request of a lifecycle hook. A *probe.PlainAnswer is a success.
	Hook(ctx context.Context, t probe.HTTPTarget) error
}

// ImageStatus is the image that a container is made from.
type ImageStatus struct {
	// ID becomes imageID and Ref image in the container's status. Config is the
	// digest of the image's config, which it has under every name.
	ID, Ref, Config string
	// Pulled says that the image has been pulled, Began and Took when, and Size
	// is that of the image in bytes.
	Pulled bool
	Began  time.Time
	Took   time.Duration
	Size   int64
}

// ExecResult is how a command in a container ended. A command ended by signal n
// has Code 128+n.
type ExecResult struct {
	Code   int
	Output []byte
}

// Exit is how a container ended.
type Exit struct {
	Code      int // the exit code, when Signal is 0
	Signal    int // the signal that ended it; the status shows 128+Signal
	OOMKilled bool
	At        time.Time // zero: now
	Message   string    // the termination message
	// Reason replaces the one derived from the rest (Completed, Error,
	// OOMKilled): ContainerStatusUnknown for an exit that nobody saw.
	Reason string
}

// Failure is an error that knows how the API calls it.
type Failure struct {
	Reason  string // a reason of ContainerStateWaiting
	Message string // empty: the text of Err
	Err     error
	Image   string // that cannot be pulled, where it is not the container's own
	// Waits: what is missing may come from outside. The container waits for it,
	// even one of a pod of which nothing has started yet; see Life.Retry. With
	// the reason ContainerCreating it is a volume that cannot be mounted yet.
	Waits bool
}

func (f *Failure) Error() string {
	if f.Message != "" || f.Err == nil {
		return f.Message
	}
	return f.Err.Error()
}

func (f *Failure) Unwrap() error { return f.Err }

// NotMade is Run's error for a pod of which nothing could ever be started.
// Everything that had been created for it was removed again.
type NotMade struct {
	Container string
	Step      string // "pull image of", "create", "start"
	Reason    string // as in the API: ErrImagePull, CreateContainerError, StartError ...
	Err       error
}

func (n *NotMade) Error() string {
	if n.Reason == createConfigError { // the manifest is to blame, by the word that it is known under
		return fmt.Sprintf("%s container %s: %s: %v", n.Step, n.Container, n.Reason, n.Err)
	}
	return fmt.Sprintf("%s container %s: %v", n.Step, n.Container, n.Err)
}

func (n *NotMade) Unwrap() error { return n.Err }

// Outcome is how a pod's life ended.
type Outcome struct {
	Status  v1.PodStatus // the last one; its phase is Succeeded or Failed
	Stopped bool         // by Stop, not by its containers
	// Suspended: by Suspend. The phase is that of a pod which goes on.
	Suspended bool
}

// Config is what a Life is made of. Pod, Runtime, Prober and Save are required.
type Config struct {
	// Pod is defaulted and validated. It is not changed.
	Pod *v1.Pod
	// Checkpoint is the last one saved, nil for a pod that begins.
	Checkpoint *Checkpoint
	// Alive holds, by container, the attempt whose process the monitor found,
	// blocked before its command or running. For an attempt that the Checkpoint
	// counts as started and that is not alive (Checkpoint.Owed), Exited must be
	// called, with reason ContainerStatusUnknown and code 137 if nobody knows.
	Alive map[string]int
	// Sandbox tells one sandbox of the pod from the next; empty: there is only one.
	Sandbox string
	Runtime Runtime
	Prober  Prober
	// Save stores a checkpoint, replacing the one before. It is called as Run begins,
	// and then on every change and before what follows from it; the pod waits for it.
	Save func(Checkpoint)
	// Event is told what happens, in order; it must not block. nil: nobody listens.
	Event func(Event)
	// RecursiveReadOnly tells whether all of a read-only mount is read-only, with
	// what is mounted below it. nil: it never is.
	RecursiveReadOnly func(*v1.VolumeMount) bool
	// HostIP and PodIP go into the status; PodIP is also where probes go. The lists
	// are all addresses, these two first; nil where there is one each. What is not
	// known yet is empty: see SetAddresses.
	HostIP, PodIP string
	HostIPs       []v1.HostIP
	PodIPs        []v1.PodIP
}
