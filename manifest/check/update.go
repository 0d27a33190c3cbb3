package check

import (
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// What may change of an object that is there already. The words are those of
// pkg/apis/core/validation of Kubernetes 1.36.

const immutable = "field is immutable"

// whenImmutable is the complaint about an object that was made with immutable: true.
const whenImmutable = "field is immutable when `immutable` is set"

// ConfigMapUpdate complains of changes that a ConfigMap must not have.
func ConfigMapUpdate(updated, old *v1.ConfigMap) field.ErrorList {
	if !isTrue(old.Immutable) {
		return nil
	}
	var errs field.ErrorList
	if !isTrue(updated.Immutable) {
		errs = append(errs, field.Forbidden(field.NewPath("immutable"), whenImmutable))
	}
	if !maps.Equal(updated.Data, old.Data) {
		errs = append(errs, field.Forbidden(field.NewPath("data"), whenImmutable))
	}
	if !maps.EqualFunc(updated.BinaryData, old.BinaryData, slices.Equal) {
		errs = append(errs, field.Forbidden(field.NewPath("binaryData"), whenImmutable))
	}
	return errs
}

// SecretUpdate complains of changes that a Secret must not have.
func SecretUpdate(updated, old *v1.Secret) field.ErrorList {
	var errs field.ErrorList
	if updated.Type != old.Type {
		errs = append(errs, field.Invalid(field.NewPath("type"), updated.Type, immutable))
	}
	if !isTrue(old.Immutable) {
		return errs
	}
	if !isTrue(updated.Immutable) {
		errs = append(errs, field.Forbidden(field.NewPath("immutable"), whenImmutable))
	}
	if !maps.EqualFunc(updated.Data, old.Data, slices.Equal) {
		errs = append(errs, field.Forbidden(field.NewPath("data"), whenImmutable))
	}
	return errs
}

// ClaimUpdate complains of changes that a claim must not have. Every claim here
// is bound, and has what it asks for: it may ask for more.
func ClaimUpdate(updated, old *v1.PersistentVolumeClaim) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("spec")
	same := updated.Spec.DeepCopy()
	same.Resources.Requests = old.Spec.Resources.Requests
	same.VolumeAttributesClassName = old.Spec.VolumeAttributesClassName
	if !equality.Semantic.DeepEqual(*same, old.Spec) {
		errs = append(errs, field.Forbidden(path, "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"))
	}
	size, had := updated.Spec.Resources.Requests[v1.ResourceStorage], old.Spec.Resources.Requests[v1.ResourceStorage]
	if size.Cmp(had) < 0 {
		errs = append(errs, field.Forbidden(path.Child("resources", "requests", "storage"), "field can not be less than status.capacity"))
	}
	return errs
}

func isTrue(b *bool) bool { return b != nil && *b }
