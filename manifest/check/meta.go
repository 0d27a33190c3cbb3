package check

import (
	"encoding/json"
	"strings"

	v1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateMeta checks what an object says of itself. Each kind's name is a DNS subdomain.
func validateMeta(m *metav1.ObjectMeta) field.ErrorList {
	path := field.NewPath("metadata")
	var errs field.ErrorList
	for _, e := range apivalidation.ValidateObjectMeta(m, true, apivalidation.NameIsDNSSubdomain, path) {
		switch {
		case e.Field == "metadata.name" && e.Type == field.ErrorTypeRequired:
			e.Detail = ""
			if m.GenerateName != "" {
				continue
			}
		}
		errs = append(errs, e)
	}
	if m.Name == "" && m.GenerateName != "" {
		errs = append(errs, notHere(path.Child("generateName"), m.GenerateName, "podrun makes no names up, give the object a metadata.name"))
	}
	placeInMap(errs, "metadata.labels", m.Labels)
	placeInMap(errs, "metadata.annotations", m.Annotations)
	for i, f := range m.Finalizers {
		standard := f == string(v1.FinalizerKubernetes) || f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents
		if !strings.Contains(f, "/") && !standard {
			errs = append(errs, field.Invalid(path.Child("finalizers").Index(i), f, "name is neither a standard finalizer name nor is it fully qualified"))
		}
	}
	return errs
}

// placeInMap gives the complaints about a map of labels or annotations, which name the map, the place of the entry.
func placeInMap(errs field.ErrorList, path string, entries map[string]string) {
	for _, e := range errs {
		if e.Field != path {
			continue
		}
		for key, value := range entries {
			if e.BadValue == key || e.BadValue == value {
				e.Origin = placed + path + "[" + key + "]"
			}
		}
	}
}

// validatePodAnnotations checks the annotations that once were what fields are now.
func validatePodAnnotations(pod *v1.Pod, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if value, mirror := pod.Annotations[v1.MirrorPodAnnotationKey]; mirror && pod.Spec.NodeName == "" {
		errs = append(errs, field.Invalid(path.Key(v1.MirrorPodAnnotationKey), value, "must set spec.nodeName if mirror pod annotation is set"))
	}
	if text := pod.Annotations[v1.TolerationsAnnotationKey]; text != "" {
		var tolerations []v1.Toleration
		if err := json.Unmarshal([]byte(text), &tolerations); err != nil {
			errs = append(errs, field.Invalid(path, v1.TolerationsAnnotationKey, err.Error()))
		}
		errs = append(errs, validateTolerations(tolerations, path.Child(v1.TolerationsAnnotationKey))...)
	}
	return append(append(errs, validateDeletionCost(pod.Annotations, path)...), validateProfileAnnotations(pod, path)...)
}
