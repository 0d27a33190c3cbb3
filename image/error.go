package image

import "fmt"

// The reasons of a *PullError: the words that a kubelet puts into a waiting
// container's state.
const (
	ReasonErrImagePull     = "ErrImagePull"
	ReasonInvalidImageName = "InvalidImageName"
)

// PullError says why a reference could not become an image on this machine.
type PullError struct {
	// Reason is ReasonErrImagePull or ReasonInvalidImageName.
	Reason string
	// Reference as the caller gave it.
	Reference string
	// Message is what happened and what to do about it, in plain words.
	Message string
	// Err is the cause, for -v and for errors.Is; Message already has what matters of it.
	Err error
}

func (e *PullError) Error() string { return fmt.Sprintf("image %q: %s", e.Reference, e.Message) }

func (e *PullError) Unwrap() error { return e.Err }
