package image

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

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

// pullError says in plain words why a pull did not work, and what to do.
func pullError(display string, ref name.Reference, err error) error {
	return &PullError{Reason: ReasonErrImagePull, Reference: display, Message: explain(registryName(ref), ref, err), Err: err}
}

func explain(registry string, ref name.Reference, err error) string {
	// A registry that was tried with TLS and without has an error of each. What
	// went wrong with TLS comes first.
	var answer *transport.Error
	var dns *net.DNSError
	var dial *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.Canceled):
		return "the pull was interrupted; what is complete is kept"
	case errors.As(err, &certificate):
		return fmt.Sprintf("the certificate of registry %s is not trusted: %v; add its authority to the system's certificates, or name the registry with --insecure", registry, certificate.Err)
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Sprintf("registry %s does not speak TLS; if you trust the network to it, name it with --insecure %s", registry, registry)
	case errors.As(err, &dns):
		return fmt.Sprintf("registry %s cannot be reached: its name is not known here (%v); check the name and the network", registry, dns)
	case errors.As(err, &dial):
		return fmt.Sprintf("registry %s cannot be reached: %v; check the name, the network and the proxy", registry, dial)
	case errors.As(err, &answer):
		return explainAnswer(registry, ref, answer)
	}
	return err.Error()
}

// refused reports whether the registry wants another login, or says so of what
// is not there.
func refused(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized ||
		answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusNotFound)
}

// explainAnswer puts a registry's refusal into words.
func explainAnswer(registry string, ref name.Reference, answer *transport.Error) string {
	repository, identifier := ref.Context().RepositoryStr(), ref.Identifier()
	said := map[transport.ErrorCode]bool{}
	for _, d := range answer.Errors {
		said[d.Code] = true
	}
	switch status := answer.StatusCode; {
	case status == http.StatusUnauthorized, status == http.StatusForbidden, said[transport.UnauthorizedErrorCode], said[transport.DeniedErrorCode]:
		return fmt.Sprintf("registry %s does not let us have %s: it does not exist or needs a login; check the name, or run 'docker login %s' (podrun reads docker's config file) or give the Pod imagePullSecrets", registry, repository, registry)
	case said[transport.NameUnknownErrorCode]:
		return fmt.Sprintf("not found: registry %s has no image %s; check the name", registry, repository)
	case status == http.StatusNotFound, said[transport.ManifestUnknownErrorCode]:
		return fmt.Sprintf("not found: registry %s has no %s of image %s; check name and tag", registry, identifier, repository)
	case status == http.StatusTooManyRequests, said[transport.TooManyRequestsErrorCode]:
		return fmt.Sprintf("registry %s has had too many requests from here; wait, or run 'docker login %s' for a higher limit", registry, registry)
	}
	return fmt.Sprintf("registry %s has trouble (%v); try again later", registry, answer)
}
