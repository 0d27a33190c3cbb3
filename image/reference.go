package image

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Normalize gives a reference its full form, as docker does: busybox means
// docker.io/library/busybox:latest. A tag beside a digest is dropped, as the
// digest alone decides. The error is a *PullError with reason InvalidImageName.
func Normalize(reference string) (string, error) {
	ref, err := parseReference(reference)
	if err != nil {
		return "", err
	}
	return displayName(ref), nil
}

func parseReference(reference string, opts ...name.Option) (name.Reference, error) {
	ref, err := name.ParseReference(reference, opts...)
	if err != nil {
		return nil, &PullError{
			Reason:    ReasonInvalidImageName,
			Reference: reference,
			Message:   invalidName(reference),
			Err:       err,
		}
	}
	return ref, nil
}

// invalidName says what is wrong with a reference that does not parse.
func invalidName(reference string) string {
	switch {
	case reference == "":
		return "the image name is empty"
	case reference != strings.TrimSpace(reference):
		return "the image name has blanks around it"
	case reference != strings.ToLower(reference) && strings.LastIndexAny(reference, ":@") < 0:
		return "an image name is lower case"
	case strings.Contains(reference, "://"):
		return "an image name has no scheme: leave out " + reference[:strings.Index(reference, "://")+3]
	}
	return "not an image name; want [registry/]name[:tag][@sha256:digest]"
}

// displayName is the full form with docker.io, not with the name of the host
// that serves it.
func displayName(ref name.Reference) string {
	full := ref.Name()
	if rest, ok := strings.CutPrefix(full, name.DefaultRegistry+"/"); ok {
		return "docker.io/" + rest
	}
	return full
}

// registryName is the registry as users write it.
func registryName(ref name.Reference) string {
	if r := ref.Context().RegistryStr(); r != name.DefaultRegistry {
		return r
	}
	return "docker.io"
}

// Split cuts a normalised reference for display. Tag is empty for a digest.
func Split(reference string) (repository, tag string) {
	if repository, _, ok := strings.Cut(reference, "@"); ok {
		return repository, ""
	}
	i := strings.LastIndex(reference, ":")
	if i < strings.LastIndex(reference, "/") || i < 0 {
		return reference, ""
	}
	return reference[:i], reference[i+1:]
}

// minIDDigits is how much of an image ID must be given. As with docker, a name
// of that many hex digits and nothing else has to be written with its tag.
const minIDDigits = 12

// idPrefix returns the hex digits if reference looks like an image ID.
func idPrefix(reference string) (string, bool) {
	digits := strings.TrimPrefix(reference, "sha256:")
	isID := len(digits) >= minIDDigits && len(digits) <= 64 && strings.Trim(digits, "0123456789abcdef") == ""
	return digits, isID
}

// maxFileName leaves room for the suffixes of a temporary name in the 255
// bytes that a file name may have.
const maxFileName = 200

// recordName is the file name of a normalised reference's, or an ID's, record.
// A slash becomes %2F; % itself occurs in no reference.
func recordName(reference string) string {
	escaped := strings.ReplaceAll(reference, "/", "%2F")
	if len(escaped) > maxFileName {
		sum := sha256.Sum256([]byte(reference))
		escaped = "long%" + hex.EncodeToString(sum[:])
	}
	return escaped + ".json"
}

// idRecordName is where the record of the image with that ID is.
func idRecordName(id string) string { return id + ".json" }
