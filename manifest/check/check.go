// Package check holds the values of defaulted objects against the rules of Kubernetes. It owns those rules, for all
// fields that podrun accepts, those without a meaning here too: what they demand, and the path by which a
// complaint goes, are those of an API server of 1.36 (pkg/apis/core/validation), and the module in conformance holds
// them against it. It leaves to manifest which fields are accepted: one that is refused there is not judged here, too.
package check

import (
	"math"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Pod complains of a Pod, each complaint with its field's path. The defaults must have been filled in.
func Pod(pod *v1.Pod) field.ErrorList {
	spec, path := &pod.Spec, field.NewPath("spec")
	errs := validateMeta(&pod.ObjectMeta)
	errs = append(errs, validatePodAnnotations(pod, field.NewPath("metadata", "annotations"))...)
	errs = append(errs, oneOf(path.Child("restartPolicy"), spec.RestartPolicy, v1.RestartPolicyAlways, v1.RestartPolicyOnFailure, v1.RestartPolicyNever)...)
	if s := spec.ActiveDeadlineSeconds; s != nil && (*s < 1 || *s > math.MaxInt32) {
		errs = append(errs, field.Invalid(path.Child("activeDeadlineSeconds"), *s, validation.InclusiveRangeError(1, math.MaxInt32)))
	}
	errs = append(errs, validateReadinessGates(spec.ReadinessGates, path.Child("readinessGates"))...)
	errs = append(errs, validateNames(spec, path)...)
	errs = append(errs, validateDNS(spec, path)...)
	errs = append(errs, validateNamespaces(spec, path)...)
	errs = append(errs, validatePodSecurity(spec, path.Child("securityContext"))...)
	errs = append(errs, validateVolumes(pod, path.Child("volumes"))...)
	errs = append(errs, validateFileVolumes(spec, path)...)
	errs = append(errs, validateContainers(pod, path)...)
	if len(spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(path.Child("ephemeralContainers"), "cannot be set on create"))
	}
	errs = append(errs, validatePodResources(spec, path.Child("resources"))...)
	return append(errs, validateScheduling(pod, path)...)
}

// unsupported is the type of a complaint about a value that means something to Kubernetes, but that podrun does not
// have: the field is honoured, but not with this value.
const unsupported field.ErrorType = "unsupported by podrun"

// notHere complains of such a value, and says what to do instead.
func notHere(path *field.Path, value any, instead string) *field.Error {
	return &field.Error{Type: unsupported, Field: path.String(), BadValue: value, Detail: instead}
}

// Text is what a complaint says.
func Text(e *field.Error) string {
	if e.Type == unsupported {
		return "is not supported by podrun: " + e.Detail
	}
	return e.ErrorBody()
}

// placed begins the origin of an error whose place is not the field that it names.
const placed = "at "

// placeAt says where a complaint belongs, where upstream's path for it is that of the list around the field: people
// search for the path, and look at the place.
func placeAt(place *field.Path, errs field.ErrorList) field.ErrorList {
	for _, e := range errs {
		e.Origin = placed + place.String()
	}
	return errs
}

// Place is the path of the field that a complaint is about: mostly the one that it names.
func Place(e *field.Error) string {
	if place, ok := strings.CutPrefix(e.Origin, placed); ok {
		return place
	}
	return e.Field
}

// invalid makes one error of each complaint about a value.
func invalid(path *field.Path, value any, complaints []string) field.ErrorList {
	var errs field.ErrorList
	for _, c := range complaints {
		errs = append(errs, field.Invalid(path, value, c))
	}
	return errs
}

// oneOf complains of a value that is none of the supported ones.
func oneOf[T ~string](path *field.Path, value T, supported ...T) field.ErrorList {
	for _, s := range supported {
		if value == s {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(path, value, supported)}
}

// requiredOf is oneOf for a value that cannot be left out.
func requiredOf[T ~string](path *field.Path, value T, supported ...T) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return oneOf(path, value, supported...)
}

func notNegative[T int32 | int64](path *field.Path, value T) field.ErrorList {
	if value >= 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(path, value, "must be greater than or equal to 0")}
}
