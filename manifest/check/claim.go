package check

import (
	"reflect"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Claim complains of a PersistentVolumeClaim with its defaults.
func Claim(c *v1.PersistentVolumeClaim) field.ErrorList {
	return append(validateMeta(&c.ObjectMeta), validateClaimSpec(&c.Spec, field.NewPath("spec"))...)
}

func validateClaimSpec(spec *v1.PersistentVolumeClaimSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	modes := path.Child("accessModes")
	if len(spec.AccessModes) == 0 {
		errs = append(errs, field.Required(modes, "at least 1 access mode is required"))
	}
	known := []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce, v1.ReadOnlyMany, v1.ReadWriteMany, v1.ReadWriteOncePod}
	others := false
	for i, mode := range spec.AccessModes {
		errs = append(errs, placeAt(modes.Index(i), oneOf(modes, mode, known...))...)
		others = others || mode != v1.ReadWriteOncePod && slices.Contains(known, mode)
	}
	if others && slices.Contains(spec.AccessModes, v1.ReadWriteOncePod) {
		errs = append(errs, field.Forbidden(modes, "may not use ReadWriteOncePod with other access modes"))
	}
	errs = append(errs, validateSelector(spec.Selector, path.Child("selector"))...)
	errs = append(errs, validateClaimSize(spec, path.Child("resources"))...)
	for _, c := range []struct {
		name  string
		class *string
	}{{"storageClassName", spec.StorageClassName}, {"volumeAttributesClassName", spec.VolumeAttributesClassName}} {
		if c.class != nil && *c.class != "" {
			errs = append(errs, invalid(path.Child(c.name), *c.class, apivalidation.NameIsDNSSubdomain(*c.class, false))...)
		}
	}
	if mode := path.Child("volumeMode"); *spec.VolumeMode == v1.PersistentVolumeBlock {
		errs = append(errs, notHere(mode, v1.PersistentVolumeBlock, "there are no block volumes, use Filesystem"))
	} else {
		errs = append(errs, oneOf(mode, *spec.VolumeMode, v1.PersistentVolumeBlock, v1.PersistentVolumeFilesystem)...)
	}
	return errs
}

// validateClaimSize checks how much a claim asks for. Upstream's path leaves requests out.
func validateClaimSize(spec *v1.PersistentVolumeClaimSpec, path *field.Path) field.ErrorList {
	size, ok := spec.Resources.Requests[v1.ResourceStorage]
	var complaint *field.Error
	switch at := path.Key(string(v1.ResourceStorage)); {
	case !ok:
		complaint = field.Required(at, "")
	case size.Sign() <= 0:
		complaint = field.Invalid(at, size.String(), "must be greater than zero")
	default:
		return nil
	}
	return placeAt(path.Child("requests").Key(string(v1.ResourceStorage)), field.ErrorList{complaint})
}

// validateClaimTemplate checks what an ephemeral volume makes its claim of: of the metadata only labels and annotations.
func validateClaimTemplate(t *v1.PersistentVolumeClaimTemplate, path *field.Path) field.ErrorList {
	if t == nil {
		return field.ErrorList{field.Required(path, "")}
	}
	meta := path.Child("metadata")
	errs := append(apivalidation.ValidateAnnotations(t.Annotations, meta.Child("annotations")), metavalidation.ValidateLabels(t.Labels, meta.Child("labels"))...)
	placeInMap(errs, meta.Child("labels").String(), t.Labels)
	placeInMap(errs, meta.Child("annotations").String(), t.Annotations)
	other := t.ObjectMeta
	other.Labels, other.Annotations = nil, nil
	values := reflect.ValueOf(other)
	for i := range values.NumField() {
		if !values.Field(i).IsZero() {
			name := reflect.TypeFor[metav1.ObjectMeta]().Field(i).Name
			at := meta.Child(strings.ToLower(name[:1]) + name[1:]) // as upstream spells it: uID
			errs = append(errs, placeAt(meta, field.ErrorList{field.Forbidden(at, "cannot be set")})...)
		}
	}
	return append(errs, validateClaimSpec(&t.Spec, path.Child("spec"))...)
}
