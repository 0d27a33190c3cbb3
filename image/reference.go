package image

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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
	if err == nil {
		err = checkGrammar(ref)
	}
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

// checkGrammar holds a reference to the distribution grammar: what the library
// lets through beyond it, such as ../.., would become part of a URL.
func checkGrammar(ref name.Reference) error {
	host := strings.TrimSuffix(ref.Context().RegistryStr(), "]") // of [::1]
	if strings.Trim(host, "[") == "" || !isWord(host[len(host)-1]) && host[len(host)-1] != ':' {
		return fmt.Errorf("%q is no registry", host)
	}
	// The library leaves out library/ when it measures what was given.
	if n := len(ref.Context().RepositoryStr()); n > maxRepository {
		return fmt.Errorf("a name of %d bytes is too long", n)
	}
	for part := range strings.SplitSeq(ref.Context().RepositoryStr(), "/") {
		if !isPathComponent(part) {
			return fmt.Errorf("%q is no part of a name", part)
		}
	}
	if tag, ok := ref.(name.Tag); ok && !isWord(tag.TagStr()[0]) && tag.TagStr()[0] != '_' {
		return fmt.Errorf("%q is no tag", tag.TagStr())
	}
	return nil
}

// maxRepository is the grammar's (distribution, reference.NameTotalLengthMax).
const maxRepository = 255

// isPathComponent: lower case letters and digits, in words joined by one dot,
// one or two underscores, or any number of dashes.
func isPathComponent(s string) bool {
	separator := ""
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			if i > 0 && i == len(separator) || strings.Trim(separator, "-") != "" && separator != "." && separator != "_" && separator != "__" {
				return false
			}
			separator = ""
		case c == '.' || c == '_' || c == '-':
			separator += string(c)
		default:
			return false
		}
	}
	return s != "" && separator == ""
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// invalidName says what is wrong with a reference that does not parse.
// Repository is a normalised reference without its tag and digest.
func Repository(reference string) string {
	name, _, _ := strings.Cut(reference, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	return name
}

func invalidName(reference string) string {
	switch {
	case reference == "":
		return "the image name is empty"
	case strings.ContainsAny(reference, " \t\n"):
		return "the image name has blanks in it"
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
