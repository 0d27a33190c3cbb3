package check

import (
	"path"
	"reflect"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const badMode = "must be a number between 0 and 0777 (octal), both inclusive"

func validateVolumes(volumes []v1.Volume, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i := range volumes {
		v, at := &volumes[i], at.Index(i)
		if v.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else {
			errs = append(errs, invalid(at.Child("name"), v.Name, validation.IsDNS1123Label(v.Name))...)
			if names[v.Name] {
				errs = append(errs, field.Duplicate(at.Child("name"), v.Name))
			}
			names[v.Name] = true
		}
		errs = append(errs, validateVolumeSource(&v.VolumeSource, at)...)
	}
	return errs
}

func validateVolumeSource(s *v1.VolumeSource, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, name := range setPointers(s) {
		if i > 0 {
			errs = append(errs, field.Forbidden(at.Child(name), "may not specify more than 1 volume type"))
		}
	}
	if e := s.EmptyDir; e != nil {
		at := at.Child("emptyDir")
		if e.SizeLimit != nil && e.SizeLimit.Sign() < 0 {
			errs = append(errs, field.Invalid(at.Child("sizeLimit"), e.SizeLimit.String(), "must be greater than or equal to 0"))
		}
	}
	if h := s.HostPath; h != nil {
		errs = append(errs, validateHostPath(h, at.Child("hostPath"))...)
	}
	if c := s.ConfigMap; c != nil {
		at := at.Child("configMap")
		errs = append(errs, required(at.Child("name"), c.Name)...)
		errs = append(errs, validateFiles(c.Items, *c.DefaultMode, at)...)
	}
	if c := s.Secret; c != nil {
		at := at.Child("secret")
		errs = append(errs, required(at.Child("secretName"), c.SecretName)...)
		errs = append(errs, validateFiles(c.Items, *c.DefaultMode, at)...)
	}
	if d := s.DownwardAPI; d != nil {
		at := at.Child("downwardAPI")
		errs = append(errs, validateMode(d.DefaultMode, at.Child("defaultMode"))...)
		errs = append(errs, validateDownward(d.Items, at)...)
	}
	if p := s.Projected; p != nil {
		errs = append(errs, validateProjected(p, at.Child("projected"))...)
	}
	if c := s.PersistentVolumeClaim; c != nil {
		at := at.Child("persistentVolumeClaim", "claimName")
		errs = append(errs, required(at, c.ClaimName)...)
		if c.ClaimName != "" { // it becomes a directory's name
			errs = append(errs, invalid(at, c.ClaimName, validation.IsDNS1123Subdomain(c.ClaimName))...)
		}
	}
	return errs
}

func validateHostPath(h *v1.HostPathVolumeSource, at *field.Path) field.ErrorList {
	errs := required(at.Child("path"), h.Path)
	if hasBackstep(h.Path) {
		errs = append(errs, field.Invalid(at.Child("path"), h.Path, "must not contain '..'"))
	}
	return append(errs, oneOf(at.Child("type"), *h.Type, v1.HostPathUnset, v1.HostPathDirectoryOrCreate, v1.HostPathDirectory,
		v1.HostPathFileOrCreate, v1.HostPathFile, v1.HostPathSocket, v1.HostPathCharDev, v1.HostPathBlockDev)...)
}

// validateFiles checks what a configMap or secret volume says about its files.
func validateFiles(items []v1.KeyToPath, mode int32, at *field.Path) field.ErrorList {
	return append(validateMode(&mode, at.Child("defaultMode")), validateItems(items, at.Child("items"))...)
}

func validateItems(items []v1.KeyToPath, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, item := range items {
		at := at.Index(i)
		errs = append(errs, required(at.Child("key"), item.Key)...)
		errs = append(errs, required(at.Child("path"), item.Path)...)
		errs = append(errs, unreserved(at.Child("path"), item.Path)...)
		errs = append(errs, validateMode(item.Mode, at.Child("mode"))...)
	}
	return errs
}

func validateMounts(mounts []v1.VolumeMount, volumes map[string]bool, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	paths := map[string]bool{}
	for i, m := range mounts {
		at := at.Index(i)
		switch {
		case m.Name == "":
			errs = append(errs, field.Required(at.Child("name"), ""))
		case !volumes[m.Name]:
			errs = append(errs, field.NotFound(at.Child("name"), m.Name))
		}
		switch {
		case m.MountPath == "":
			errs = append(errs, field.Required(at.Child("mountPath"), ""))
		case strings.Contains(m.MountPath, ":"):
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must not contain ':'"))
		case paths[m.MountPath]:
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must be unique"))
		}
		paths[m.MountPath] = true
		errs = append(errs, descending(at.Child("subPath"), m.SubPath)...)
		if m.SubPathExpr != "" && m.SubPath != "" {
			errs = append(errs, field.Invalid(at.Child("subPathExpr"), m.SubPathExpr, "subPathExpr and subPath are mutually exclusive"))
		}
		errs = append(errs, descending(at.Child("subPathExpr"), m.SubPathExpr)...)
	}
	return errs
}

// descending complains of a path that could leave the directory that it starts in.
func descending(at *field.Path, p string) field.ErrorList {
	var errs field.ErrorList
	if path.IsAbs(p) {
		errs = append(errs, field.Invalid(at, p, "must be a relative path"))
	}
	if hasBackstep(p) {
		errs = append(errs, field.Invalid(at, p, "must not contain '..'"))
	}
	return errs
}

func hasBackstep(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

func required(at *field.Path, value string) field.ErrorList {
	if value != "" {
		return nil
	}
	return field.ErrorList{field.Required(at, "")}
}

// setPointers names the fields of a union (a struct of pointers, of which one should be set) that are set.
func setPointers(union any) []string {
	v := reflect.ValueOf(union).Elem()
	var names []string
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Pointer && !f.IsNil() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}
