package check

import (
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// profile is a seccomp or AppArmor profile, which once was an annotation: it may be given both ways, if both say the same.
type profile struct{ kind, localhost string }

// annotated reads the annotation's form; ok is whether it is one.
func annotated(text, unconfined string, defaults ...string) (p profile, ok bool) {
	if text == unconfined {
		return profile{kind: "Unconfined"}, true
	}
	for _, d := range defaults {
		if text == d {
			return profile{kind: "RuntimeDefault"}, true
		}
	}
	path, ok := strings.CutPrefix(text, "localhost/")
	return profile{"Localhost", path}, ok
}

func seccompAnnotation(text string) (profile, bool) {
	return annotated(text, v1.SeccompProfileNameUnconfined, v1.SeccompProfileRuntimeDefault, v1.DeprecatedSeccompProfileDockerDefault)
}

func appArmorAnnotation(text string) (profile, bool) {
	return annotated(text, v1.DeprecatedAppArmorBetaProfileNameUnconfined, v1.DeprecatedAppArmorBetaProfileRuntimeDefault)
}

// validateProfileAnnotations checks them by themselves, and beside the fields.
func validateProfileAnnotations(pod *v1.Pod, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for key, text := range pod.Annotations {
		if _, ok := seccompAnnotation(text); key == v1.SeccompPodAnnotationKey || strings.HasPrefix(key, v1.SeccompContainerAnnotationKeyPrefix) {
			if !ok {
				errs = append(errs, field.Invalid(path.Child(key), text, "must be a valid seccomp profile"))
			} else if p, local := strings.CutPrefix(text, "localhost/"); local {
				errs = append(errs, descending(path.Child(key), p)...)
			}
		}
		container, ofContainer := strings.CutPrefix(key, v1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix)
		if !ofContainer {
			continue
		}
		if !hasContainer(&pod.Spec, container) {
			errs = append(errs, field.Invalid(path.Key(key), container, "container not found"))
		}
		if _, ok := appArmorAnnotation(text); !ok && text != "" {
			errs = append(errs, field.Invalid(path.Key(key), text, "invalid AppArmor profile name"))
		}
	}
	return append(errs, validateProfilesMatch(pod)...)
}

func hasContainer(spec *v1.PodSpec, name string) bool {
	found := false
	eachContainer(spec, nil, func(c *v1.Container, _ *field.Path) { found = found || c.Name == name })
	return found
}

// validateProfilesMatch complains of an annotation and a field that contradict each other.
func validateProfilesMatch(pod *v1.Pod) field.ErrorList {
	if len(pod.Annotations) == 0 {
		return nil
	}
	var errs field.ErrorList
	compare := func(what string, a profile, ok bool, kind string, localhost *string, at *field.Path) {
		switch {
		case kind != "Localhost" && kind != "RuntimeDefault" && kind != "Unconfined":
		case !ok || a.kind != kind:
			errs = append(errs, field.Forbidden(at.Child("type"), what+" type in annotation and field must match"))
		case kind == "Localhost" && (localhost == nil || *localhost != a.localhost):
			errs = append(errs, field.Forbidden(at.Child("localhostProfile"), what+" profile in annotation and field must match"))
		}
	}
	spec, path := &pod.Spec, field.NewPath("spec")
	if s := spec.SecurityContext.SeccompProfile; s != nil {
		if text, found := pod.Annotations[v1.SeccompPodAnnotationKey]; found {
			a, ok := seccompAnnotation(text)
			compare("seccomp", a, ok, string(s.Type), s.LocalhostProfile, path.Child("securityContext", "seccompProfile"))
		}
	}
	eachContainer(spec, path, func(c *v1.Container, at *field.Path) {
		seccomp, appArmor := (*v1.SeccompProfile)(nil), spec.SecurityContext.AppArmorProfile
		if s := c.SecurityContext; s != nil {
			seccomp = s.SeccompProfile
			if s.AppArmorProfile != nil {
				appArmor = s.AppArmorProfile
			}
		}
		if text, found := pod.Annotations[v1.SeccompContainerAnnotationKeyPrefix+c.Name]; found && seccomp != nil {
			a, ok := seccompAnnotation(text)
			compare("seccomp", a, ok, string(seccomp.Type), seccomp.LocalhostProfile, at.Child("securityContext", "seccompProfile"))
		}
		if text, found := pod.Annotations[v1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+c.Name]; found && appArmor != nil {
			a, ok := appArmorAnnotation(text)
			compare("apparmor", a, ok, string(appArmor.Type), appArmor.LocalhostProfile, at.Child("securityContext", "appArmorProfile"))
		}
	})
	return errs
}
