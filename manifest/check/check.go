// Package check holds the values of defaulted objects against the rules of Kubernetes. It owns those rules
// for the fields that podrun honours; they and their words are upstream's (pkg/apis/core/validation). It
// leaves to manifest which fields these are: a field that is refused there is not judged here, too.
package check

import (
	"math"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxAnnotations is the total size of an object's annotations that an API server takes.
const maxAnnotations = 256 << 10

// Pod complains of a Pod, each complaint with its field's path. The defaults must have been filled in.
func Pod(pod *v1.Pod) field.ErrorList {
	spec, path := &pod.Spec, field.NewPath("spec")
	errs := validateMeta(&pod.ObjectMeta)
	errs = append(errs, oneOf(path.Child("restartPolicy"), spec.RestartPolicy, v1.RestartPolicyAlways, v1.RestartPolicyOnFailure, v1.RestartPolicyNever)...)
	errs = append(errs, oneOf(path.Child("dnsPolicy"), spec.DNSPolicy, v1.DNSClusterFirst, v1.DNSClusterFirstWithHostNet, v1.DNSDefault, v1.DNSNone)...)
	errs = append(errs, notNegative(path.Child("terminationGracePeriodSeconds"), *spec.TerminationGracePeriodSeconds)...)
	errs = append(errs, validateReadinessGates(spec.ReadinessGates, path.Child("readinessGates"))...)
	if d := spec.ActiveDeadlineSeconds; d != nil && (*d < 1 || *d > math.MaxInt32) {
		errs = append(errs, field.Invalid(path.Child("activeDeadlineSeconds"), *d, validation.InclusiveRangeError(1, math.MaxInt32)))
	}
	if spec.Hostname != "" {
		errs = append(errs, invalid(path.Child("hostname"), spec.Hostname, validation.IsDNS1123Label(spec.Hostname))...)
	}
	if spec.OS != nil {
		errs = append(errs, oneOf(path.Child("os", "name"), spec.OS.Name, v1.Linux)...)
	}
	errs = append(errs, validatePodSecurity(spec.SecurityContext, path.Child("securityContext"))...)
	errs = append(errs, validateVolumes(spec.Volumes, path.Child("volumes"))...)
	errs = append(errs, validateFileVolumes(spec, path)...)
	return append(errs, validateContainers(spec, path)...)
}

func validateMeta(m *metav1.ObjectMeta) field.ErrorList {
	path := field.NewPath("metadata")
	var errs field.ErrorList
	switch {
	case m.Name != "":
		errs = append(errs, invalid(path.Child("name"), m.Name, validation.IsDNS1123Subdomain(m.Name))...)
	case m.GenerateName == "": // a generateName is complained of already
		errs = append(errs, field.Required(path.Child("name"), ""))
	}
	errs = append(errs, invalid(path.Child("namespace"), m.Namespace, validation.IsDNS1123Label(m.Namespace))...)
	for key, value := range m.Labels {
		at := path.Child("labels").Key(key)
		errs = append(errs, invalid(at, key, validation.IsQualifiedName(key))...)
		errs = append(errs, invalid(at, value, validation.IsValidLabelValue(value))...)
	}
	size := 0
	for key, value := range m.Annotations {
		errs = append(errs, invalid(path.Child("annotations").Key(key), key, validation.IsQualifiedName(strings.ToLower(key)))...)
		size += len(key) + len(value)
	}
	if size > maxAnnotations {
		errs = append(errs, field.TooLong(path.Child("annotations"), "", maxAnnotations))
	}
	return errs
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

func notNegative[T int32 | int64](path *field.Path, value T) field.ErrorList {
	if value >= 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(path, value, "must be greater than or equal to 0")}
}
