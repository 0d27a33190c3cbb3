package check

import (
	"fmt"
	"path"
	"reflect"
	"strings"

	v1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const badMode = "must be a number between 0 and 0777 (octal), both inclusive"

func validateVolumes(pod *v1.Pod, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	eachVolume(pod, path, func(_ *v1.Volume, complaints field.ErrorList) { errs = append(errs, complaints...) })
	ephemeral := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		if v.Ephemeral != nil {
			ephemeral[pod.Name+"-"+v.Name] = true
		}
	}
	for i, v := range pod.Spec.Volumes {
		if c := v.PersistentVolumeClaim; c != nil && pod.Name != "" && ephemeral[c.ClaimName] {
			errs = append(errs, field.Invalid(path.Index(i).Child("persistentVolumeClaim", "claimName"), c.ClaimName, "must not reference a PVC that gets created for an ephemeral volume"))
		}
	}
	return errs
}

// soundVolumes are the names that a container can mount.
func soundVolumes(pod *v1.Pod) map[string]bool {
	sound := map[string]bool{}
	eachVolume(pod, nil, func(v *v1.Volume, complaints field.ErrorList) {
		if len(complaints) == 0 {
			sound[v.Name] = true
		}
	})
	return sound
}

// eachVolume tells what is wrong with each volume. A name is taken by the first sound one.
func eachVolume(pod *v1.Pod, path *field.Path, visit func(*v1.Volume, field.ErrorList)) {
	names := map[string]bool{}
	for i := range pod.Spec.Volumes {
		v, at := &pod.Spec.Volumes[i], path.Index(i)
		errs := validateVolumeSource(v, pod.Name, at)
		if v.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else {
			errs = append(errs, invalid(at.Child("name"), v.Name, validation.IsDNS1123Label(v.Name))...)
		}
		if names[v.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), v.Name))
		}
		if len(errs) == 0 {
			names[v.Name] = true
		}
		visit(v, errs)
	}
}

// validateVolumeSource checks the first source in upstream's order, and complains of all others.
func validateVolumeSource(v *v1.Volume, pod string, at *field.Path) field.ErrorList {
	s, only := &v.VolumeSource, v1.VolumeSource{}
	var errs field.ErrorList
	found := false
	for _, source := range []struct {
		name string
		set  bool
		take func()
	}{
		{"emptyDir", s.EmptyDir != nil, func() { only.EmptyDir = s.EmptyDir }},
		{"hostPath", s.HostPath != nil, func() { only.HostPath = s.HostPath }},
		{"secret", s.Secret != nil, func() { only.Secret = s.Secret }},
		{"persistentVolumeClaim", s.PersistentVolumeClaim != nil, func() { only.PersistentVolumeClaim = s.PersistentVolumeClaim }},
		{"downwardAPI", s.DownwardAPI != nil, func() { only.DownwardAPI = s.DownwardAPI }},
		{"configMap", s.ConfigMap != nil, func() { only.ConfigMap = s.ConfigMap }},
		{"projected", s.Projected != nil, func() { only.Projected = s.Projected }},
		{"ephemeral", s.Ephemeral != nil, func() { only.Ephemeral = s.Ephemeral }},
		{"image", s.Image != nil, func() { only.Image = s.Image }},
	} {
		switch {
		case source.set && found:
			errs = append(errs, field.Forbidden(at.Child(source.name), "may not specify more than 1 volume type"))
		case source.set:
			source.take()
			found = true
		}
	}
	errs = append(errs, validateSource(&only, at)...)
	if only.Ephemeral != nil && pod != "" && v.Name != "" {
		claim := pod + "-" + v.Name
		for _, why := range apivalidation.NameIsDNSSubdomain(claim, false) {
			errs = append(errs, field.Invalid(at.Child("name"), v.Name, fmt.Sprintf("PVC name %q: %s", claim, why)))
		}
	}
	return errs
}

func validateSource(s *v1.VolumeSource, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if e := s.EmptyDir; e != nil {
		at := at.Child("emptyDir")
		if e.SizeLimit != nil && e.SizeLimit.Sign() < 0 {
			errs = append(errs, field.Forbidden(at.Child("sizeLimit"), "must be greater than or equal to 0"))
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
		if c.ClaimName != "" && len(validation.IsDNS1123Subdomain(c.ClaimName)) > 0 { // it becomes a directory's name
			errs = append(errs, notHere(at, c.ClaimName, fmt.Sprintf("no claim can have the name %q", c.ClaimName)))
		}
	}
	if e := s.Ephemeral; e != nil {
		errs = append(errs, validateClaimTemplate(e.VolumeClaimTemplate, at.Child("ephemeral", "volumeClaimTemplate"))...)
	}
	if i := s.Image; i != nil {
		errs = append(errs, required(at.Child("image", "reference"), i.Reference)...)
		errs = append(errs, requiredOf(at.Child("image", "pullPolicy"), i.PullPolicy, v1.PullAlways, v1.PullIfNotPresent, v1.PullNever)...)
	}
	return errs
}

func validateHostPath(h *v1.HostPathVolumeSource, at *field.Path) field.ErrorList {
	if h.Path == "" {
		return field.ErrorList{field.Required(at.Child("path"), "")}
	}
	errs := noBackstep(at.Child("path"), h.Path)
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

// validateMounts checks where volumes go. The paths of what upstream checks of a mount by itself name the list.
func validateMounts(c *v1.Container, volumes map[string]bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	paths := map[string]bool{}
	for i := range c.VolumeMounts {
		m, at := &c.VolumeMounts[i], path.Index(i)
		errs = append(errs, required(at.Child("name"), m.Name)...)
		if m.Name != "" && !volumes[m.Name] {
			errs = append(errs, field.NotFound(at.Child("name"), m.Name))
		}
		errs = append(errs, required(at.Child("mountPath"), m.MountPath)...)
		if paths[m.MountPath] {
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must be unique"))
		}
		paths[m.MountPath] = true
		if m.SubPathExpr != "" && m.SubPath != "" {
			errs = append(errs, field.Invalid(at.Child("subPathExpr"), m.SubPathExpr, "subPathExpr and subPath are mutually exclusive"))
		}
		errs = append(errs, placeAt(at.Child("subPath"), descending(path.Child("subPath"), m.SubPath))...)
		errs = append(errs, placeAt(at.Child("subPathExpr"), descending(path.Child("subPathExpr"), m.SubPathExpr))...)
		privileged := c.SecurityContext != nil && isTrue(c.SecurityContext.Privileged)
		errs = append(errs, placeAt(at.Child("mountPropagation"), validatePropagation(m.MountPropagation, privileged, path.Child("mountPropagation")))...)
		errs = append(errs, placeAt(at.Child("recursiveReadOnly"), validateRecursive(m, path.Child("recursiveReadOnly")))...)
	}
	return errs
}

func validatePropagation(p *v1.MountPropagationMode, privileged bool, path *field.Path) field.ErrorList {
	switch {
	case p == nil:
		return nil
	case *p == v1.MountPropagationBidirectional && !privileged:
		return field.ErrorList{field.Forbidden(path, "Bidirectional mount propagation is available only to privileged containers")}
	}
	return oneOf(path, *p, v1.MountPropagationBidirectional, v1.MountPropagationHostToContainer, v1.MountPropagationNone)
}

func validateRecursive(m *v1.VolumeMount, path *field.Path) field.ErrorList {
	if m.RecursiveReadOnly == nil || *m.RecursiveReadOnly == v1.RecursiveReadOnlyDisabled {
		return nil
	}
	errs := oneOf(path, *m.RecursiveReadOnly, v1.RecursiveReadOnlyDisabled, v1.RecursiveReadOnlyEnabled, v1.RecursiveReadOnlyIfPossible)
	if len(errs) > 0 {
		return errs
	}
	if !m.ReadOnly {
		errs = append(errs, field.Forbidden(path, "may only be specified when readOnly is true"))
	}
	if m.MountPropagation != nil && *m.MountPropagation != v1.MountPropagationNone {
		errs = append(errs, field.Forbidden(path, "may only be specified when mountPropagation is None or not specified"))
	}
	return errs
}

// descending complains of a path that could leave the directory that it starts in.
func descending(at *field.Path, p string) field.ErrorList {
	errs := noBackstep(at, p)
	if path.IsAbs(p) {
		errs = append(errs, field.Invalid(at, p, "must be a relative path"))
	}
	return errs
}

func noBackstep(at *field.Path, p string) field.ErrorList {
	if !hasBackstep(p) {
		return nil
	}
	return field.ErrorList{field.Invalid(at, p, "must not contain '..'")}
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
