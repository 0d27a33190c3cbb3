package check

import (
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateEnv(env []v1.EnvVar, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, e := range env {
		at := path.Index(i)
		if e.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else {
			errs = append(errs, invalid(at.Child("name"), e.Name, validation.IsRelaxedEnvVarName(e.Name))...)
		}
		if strings.ContainsRune(e.Value, 0) { // execve would end the variable there
			errs = append(errs, field.Invalid(at.Child("value"), e.Value, "must not contain a NUL character"))
		}
		if e.ValueFrom != nil {
			errs = append(errs, validateEnvSource(&e, at.Child("valueFrom"))...)
		}
	}
	return errs
}

func validateEnvSource(e *v1.EnvVar, path *field.Path) field.ErrorList {
	sources := setPointers(e.ValueFrom)
	switch {
	case len(sources) == 0:
		return field.ErrorList{field.Invalid(path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`")}
	case e.Value != "":
		return field.ErrorList{field.Invalid(path, "", "may not be specified when `value` is not empty")}
	case len(sources) > 1:
		return field.ErrorList{field.Invalid(path, "", "may not have more than one field specified at a time")}
	}
	var errs field.ErrorList
	switch from := e.ValueFrom; {
	case from.FieldRef != nil:
		errs = validateFieldRef(from.FieldRef, path.Child("fieldRef"), envFields)
	case from.ResourceFieldRef != nil:
		errs = validateResourceRef(from.ResourceFieldRef, path.Child("resourceFieldRef"))
	case from.FileKeyRef != nil:
		errs = validateFileKey(from.FileKeyRef, path.Child("fileKeyRef"))
	case from.ConfigMapKeyRef != nil:
		at := path.Child("configMapKeyRef")
		errs = append(required(at.Child("name"), from.ConfigMapKeyRef.Name), validateKey(from.ConfigMapKeyRef.Key, at.Child("key"))...)
	case from.SecretKeyRef != nil:
		at := path.Child("secretKeyRef")
		errs = append(required(at.Child("name"), from.SecretKeyRef.Name), validateKey(from.SecretKeyRef.Key, at.Child("key"))...)
	}
	return errs
}

func validateKey(key string, at *field.Path) field.ErrorList {
	if key == "" {
		return required(at, key)
	}
	return invalid(at, key, validation.IsConfigMapKey(key))
}

// envFields are what a fieldRef in env may name.
var envFields = []string{"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
	"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"}

func validateFieldRef(ref *v1.ObjectFieldSelector, path *field.Path, fields []string) field.ErrorList {
	if ref.APIVersion != "v1" {
		return field.ErrorList{field.NotSupported(path.Child("apiVersion"), ref.APIVersion, []string{"v1"})}
	}
	at := path.Child("fieldPath")
	if ref.FieldPath == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	if base, key, ok := Subscript(ref.FieldPath); ok {
		switch base {
		case "metadata.labels":
			return invalid(at, key, validation.IsQualifiedName(key))
		case "metadata.annotations":
			return invalid(at, key, validation.IsQualifiedName(strings.ToLower(key)))
		}
		return field.ErrorList{field.Invalid(at, ref.FieldPath, "only metadata.labels and metadata.annotations take a key in brackets")}
	}
	return oneOf(at, ref.FieldPath, fields...)
}

// Subscript takes metadata.labels['app'] apart.
func Subscript(fieldPath string) (base, key string, ok bool) {
	inner, ok := strings.CutSuffix(fieldPath, "']")
	if !ok {
		return "", "", false
	}
	return strings.Cut(inner, "['")
}

func validateResourceRef(ref *v1.ResourceFieldSelector, path *field.Path) field.ErrorList {
	at := path.Child("resource")
	if ref.Resource == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	if !strings.HasPrefix(ref.Resource, "limits.hugepages-") && !strings.HasPrefix(ref.Resource, "requests.hugepages-") {
		errs = oneOf(at, ref.Resource, "limits.cpu", "limits.memory", "limits.ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage")
	}
	if len(errs) > 0 || ref.Divisor.IsZero() {
		return errs
	}
	divisors := []string{"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"}
	if strings.HasSuffix(ref.Resource, ".cpu") {
		divisors = []string{"1", "1m"}
	}
	for _, d := range divisors {
		if q := resource.MustParse(d); q.Cmp(ref.Divisor) == 0 {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(path.Child("divisor"), ref.Divisor.String(), divisors)}
}

func validateEnvFrom(sources []v1.EnvFromSource, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, s := range sources {
		at := path.Index(i)
		if s.Prefix != "" {
			errs = append(errs, invalid(at.Child("prefix"), s.Prefix, validation.IsRelaxedEnvVarName(s.Prefix))...)
		}
		switch {
		case s.ConfigMapRef == nil && s.SecretRef == nil:
			errs = append(errs, field.Invalid(at, "", "must specify one of: `configMapRef` or `secretRef`"))
		case s.ConfigMapRef != nil && s.SecretRef != nil:
			errs = append(errs, field.Invalid(at, "", "may not have more than one field specified at a time"))
		case s.ConfigMapRef != nil:
			errs = append(errs, required(at.Child("configMapRef", "name"), s.ConfigMapRef.Name)...)
		default:
			errs = append(errs, required(at.Child("secretRef", "name"), s.SecretRef.Name)...)
		}
	}
	return errs
}
