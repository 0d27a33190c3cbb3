package check

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
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
		if e.ValueFrom != nil {
			errs = append(errs, validateEnvSource(&e, at.Child("valueFrom"))...)
		}
	}
	return errs
}

func validateEnvSource(e *v1.EnvVar, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	from := e.ValueFrom
	if from.FieldRef != nil {
		errs = append(errs, validateFieldRef(from.FieldRef, path.Child("fieldRef"), envFields)...)
	}
	if from.ResourceFieldRef != nil {
		errs = append(errs, validateResourceRef(from.ResourceFieldRef, false, path.Child("resourceFieldRef"))...)
	}
	if r := from.ConfigMapKeyRef; r != nil {
		at := path.Child("configMapKeyRef")
		errs = append(append(errs, validateRefName(r.Name, at.Child("name"))...), validateKey(r.Key, at.Child("key"))...)
	}
	if r := from.SecretKeyRef; r != nil {
		at := path.Child("secretKeyRef")
		errs = append(append(errs, validateRefName(r.Name, at.Child("name"))...), validateKey(r.Key, at.Child("key"))...)
	}
	if from.FileKeyRef != nil {
		errs = append(errs, validateFileKey(from.FileKeyRef, path.Child("fileKeyRef"))...)
	}
	switch sources := setPointers(from); {
	case len(sources) == 0:
		errs = append(errs, field.Invalid(path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"))
	case e.Value != "":
		errs = append(errs, field.Invalid(path, "", "may not be specified when `value` is not empty"))
	case len(sources) > 1:
		errs = append(errs, field.Invalid(path, "", "may not have more than one field specified at a time"))
	}
	return errs
}

// validateRefName checks the name of a ConfigMap or a Secret.
func validateRefName(name string, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	return invalid(at, name, apivalidation.NameIsDNSSubdomain(name, false))
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
	at := path.Child("fieldPath")
	if ref.FieldPath == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	if ref.APIVersion != "v1" {
		return placeAt(path.Child("apiVersion"), field.ErrorList{field.Invalid(at, ref.FieldPath, fmt.Sprintf("unsupported pod version: %s", ref.APIVersion))})
	}
	base, key, ok := Subscript(ref.FieldPath)
	if !ok {
		return oneOf(at, ref.FieldPath, fields...)
	}
	switch base { // upstream blames the whole reference for a bad key, and the path for all else
	case "metadata.labels":
		return placeAt(at, invalid(path, key, validation.IsQualifiedName(key)))
	case "metadata.annotations":
		return placeAt(at, invalid(path, key, validation.IsQualifiedName(strings.ToLower(key))))
	}
	return field.ErrorList{field.Invalid(at, ref.FieldPath, "only metadata.labels and metadata.annotations take a key in brackets")}
}

// Subscript takes metadata.labels['app'] apart.
func Subscript(fieldPath string) (base, key string, ok bool) {
	inner, ok := strings.CutSuffix(fieldPath, "']")
	if !ok {
		return "", "", false
	}
	return strings.Cut(inner, "['")
}

// validateResourceRef checks a reference to a container's resource; volumes must say which container's.
func validateResourceRef(ref *v1.ResourceFieldSelector, volume bool, path *field.Path) field.ErrorList {
	hugePages := strings.HasPrefix(ref.Resource, "limits.hugepages-") || strings.HasPrefix(ref.Resource, "requests.hugepages-")
	names := []string{"limits.cpu", "limits.memory", "limits.ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage"}
	var errs field.ErrorList
	switch at := path.Child("resource"); {
	case volume && ref.ContainerName == "":
		errs = append(errs, field.Required(path.Child("containerName"), ""))
	case ref.Resource == "":
		errs = append(errs, field.Required(at, ""))
	case !hugePages:
		errs = append(errs, oneOf(at, ref.Resource, names...)...)
	}
	if ref.Divisor.IsZero() || !hugePages && !slices.Contains(names, ref.Resource) {
		return errs
	}
	divisors := []string{"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"}
	if strings.HasSuffix(ref.Resource, ".cpu") {
		divisors = []string{"1", "1m"}
	}
	return append(errs, oneOf(path.Child("divisor"), ref.Divisor.String(), divisors...)...)
}

func validateEnvFrom(sources []v1.EnvFromSource, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, s := range sources {
		at := path.Index(i)
		if s.Prefix != "" {
			errs = append(errs, invalid(at.Child("prefix"), s.Prefix, validation.IsRelaxedEnvVarName(s.Prefix))...)
		}
		// Upstream takes these names for the beginnings of names, which may end in a dash.
		if r := s.ConfigMapRef; r != nil {
			errs = append(errs, validateRefPrefix(r.Name, at.Child("configMapRef", "name"))...)
		}
		if r := s.SecretRef; r != nil {
			errs = append(errs, validateRefPrefix(r.Name, at.Child("secretRef", "name"))...)
		}
		switch {
		case s.ConfigMapRef == nil && s.SecretRef == nil:
			errs = append(errs, placeAt(at, field.ErrorList{field.Invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")})...)
		case s.ConfigMapRef != nil && s.SecretRef != nil:
			errs = append(errs, placeAt(at, field.ErrorList{field.Invalid(path, "", "may not have more than one field specified at a time")})...)
		}
	}
	return errs
}

func validateRefPrefix(name string, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	return invalid(at, name, apivalidation.NameIsDNSSubdomain(name, true))
}
