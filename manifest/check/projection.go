package check

import (
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// volumeFields are what a fieldRef in a volume may name: not what changes while the Pod starts.
var volumeFields = []string{"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"}

// validateDownward checks the files of a downwardAPI volume. As upstream's, its paths do not number them.
func validateDownward(items []v1.DownwardAPIVolumeFile, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range items {
		item := &items[i]
		errs = append(errs, required(at.Child("path"), item.Path)...)
		errs = append(errs, unreserved(at.Child("path"), item.Path)...)
		switch {
		case item.FieldRef != nil:
			errs = append(errs, validateFieldRef(item.FieldRef, at.Child("fieldRef"), volumeFields)...)
			if item.ResourceFieldRef != nil {
				errs = append(errs, field.Invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
			}
		case item.ResourceFieldRef == nil:
			errs = append(errs, field.Required(at, "one of fieldRef and resourceFieldRef is required"))
		default:
			errs = append(errs, validateResourceRef(item.ResourceFieldRef, true, at.Child("resourceFieldRef"))...)
		}
		errs = append(errs, validateMode(item.Mode, at.Child("mode"))...)
	}
	return errs
}

// validateProjected checks the sources of a projected volume that podrun honours.
func validateProjected(p *v1.ProjectedVolumeSource, at *field.Path) field.ErrorList {
	errs := validateMode(p.DefaultMode, at.Child("defaultMode"))
	paths := map[string]bool{}
	claim := func(path, culprit string) {
		if path != "" && paths[path] {
			errs = append(errs, field.Invalid(at, culprit, "conflicting duplicate paths"))
		}
		paths[path] = true
	}
	for i := range p.Sources {
		s, source := &p.Sources[i], at.Child("sources").Index(i)
		if len(setPointers(s)) > 1 {
			errs = append(errs, field.Forbidden(source, "may not specify more than 1 volume type per source"))
		}
		if c := s.Secret; c != nil {
			errs = append(errs, required(source.Child("secret", "name"), c.Name)...)
			errs = append(errs, validateItems(c.Items, source.Child("secret", "items"))...)
			for _, item := range c.Items {
				claim(item.Path, c.Name)
			}
		}
		if c := s.ConfigMap; c != nil {
			errs = append(errs, required(source.Child("configMap", "name"), c.Name)...)
			errs = append(errs, validateItems(c.Items, source.Child("configMap", "items"))...)
			for _, item := range c.Items {
				claim(item.Path, c.Name)
			}
		}
		if d := s.DownwardAPI; d != nil {
			errs = append(errs, validateDownward(d.Items, source.Child("downwardAPI"))...)
			for _, item := range d.Items {
				claim(item.Path, item.Path)
			}
		}
	}
	return errs
}

func validateMode(mode *int32, at *field.Path) field.ErrorList {
	if mode == nil || *mode >= 0 && *mode <= 0o777 {
		return nil
	}
	why := badMode
	if _, err := strconv.ParseUint(strconv.Itoa(int(*mode)), 8, 9); err == nil { // 644 was meant to be octal
		why += fmt.Sprintf(": write 0%d", *mode)
	}
	return field.ErrorList{field.Invalid(at, *mode, why)}
}

// unreserved is descending, and leaves the names alone that a volume uses for itself.
func unreserved(at *field.Path, p string) field.ErrorList {
	errs := descending(at, p)
	if strings.HasPrefix(p, "..") && !strings.HasPrefix(p, "../") {
		errs = append(errs, field.Invalid(at, p, "must not start with '..'"))
	}
	return errs
}

func validateFileKey(ref *v1.FileKeySelector, at *field.Path) field.ErrorList {
	errs := required(at.Child("key"), ref.Key)
	if ref.Key != "" {
		errs = append(errs, invalid(at.Child("key"), ref.Key, validation.IsRelaxedEnvVarName(ref.Key))...)
	}
	errs = append(errs, required(at.Child("volumeName"), ref.VolumeName)...)
	if ref.VolumeName != "" {
		errs = append(errs, invalid(at.Child("volumeName"), ref.VolumeName, validation.IsDNS1123Label(ref.VolumeName))...)
	}
	errs = append(errs, required(at.Child("path"), ref.Path)...)
	if hasBackstep(ref.Path) {
		errs = append(errs, field.Invalid(at.Child("path"), ref.Path, "must not contain '..'"))
	}
	return errs
}

// validateFileVolumes checks that each fileKeyRef names an emptyDir: only there containers write what others read.
func validateFileVolumes(spec *v1.PodSpec, path *field.Path) field.ErrorList {
	onlyEmptyDir := map[string]bool{}
	for i := range spec.Volumes {
		onlyEmptyDir[spec.Volumes[i].Name] = spec.Volumes[i].EmptyDir != nil
	}
	var errs field.ErrorList
	eachContainer(spec, path, func(c *v1.Container, container *field.Path) {
		for i, e := range c.Env {
			if e.ValueFrom == nil || e.ValueFrom.FileKeyRef == nil {
				continue
			}
			name := e.ValueFrom.FileKeyRef.VolumeName
			at := container.Child("env").Index(i).Child("valueFrom", "fileKeyRef", "volumeName")
			if empty, found := onlyEmptyDir[name]; !found {
				errs = append(errs, field.NotFound(at, name))
			} else if !empty {
				errs = append(errs, field.Invalid(at, name, "referenced volume must be of type emptyDir"))
			}
		}
	})
	return errs
}
