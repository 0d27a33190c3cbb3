package pod

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Difference is one field that two manifests of a pod have otherwise, with its
// plain JSON values; nil is unset.
type Difference struct {
	Path     string
	Old, New any
}

// Differences names the fields in which the manifests of a pod differ.
func Differences(old, updated *v1.Pod) []Difference {
	var list []Difference
	compare(&list, "", given(old), given(updated))
	return list
}

// Changed is the old pod by its updated manifest, of which CheckChange does not
// complain. Its generation goes up where its spec differs. What no manifest gives,
// such as ephemeral containers, stays.
func Changed(old, updated *v1.Pod) *v1.Pod {
	p := old.DeepCopy()
	u := updated.DeepCopy()
	p.Labels, p.Annotations = u.Labels, u.Annotations
	u.Spec.EphemeralContainers = p.Spec.EphemeralContainers
	var list []Difference
	compare(&list, "", given(&v1.Pod{Spec: p.Spec}), given(&v1.Pod{Spec: u.Spec}))
	if len(list) > 0 {
		p.Generation++
	}
	p.Spec = u.Spec
	return p
}

// meaningless are the fields of a pod's spec that mean nothing on one machine, but
// for the tolerations, which may change on a cluster, too.
var meaningless = []string{
	"nodeName", "nodeSelector", "affinity", "topologySpreadConstraints", "schedulerName", "schedulingGroup", "priority", "priorityClassName",
	"preemptionPolicy", "overhead", "serviceAccountName", "serviceAccount", "automountServiceAccountToken", "enableServiceLinks",
}

// given is what a manifest gives of a pod that means something here.
func given(p *v1.Pod) any {
	spec := p.Spec
	spec.EphemeralContainers = nil
	data, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"labels": p.Labels, "annotations": p.Annotations},
		"spec":     spec,
	})
	if err != nil {
		return nil
	}
	var v any
	if json.Unmarshal(data, &v) != nil {
		return nil
	}
	if object, ok := v.(map[string]any)["spec"].(map[string]any); ok {
		maps.DeleteFunc(object, func(name string, _ any) bool { return slices.Contains(meaningless, name) })
	}
	return v
}

func compare(list *[]Difference, path string, a, b any) {
	if reflect.DeepEqual(a, b) {
		return
	}
	am, aok := a.(map[string]any)
	bm, bok := b.(map[string]any)
	if aok && bok {
		all := maps.Clone(am)
		maps.Copy(all, bm)
		for _, k := range slices.Sorted(maps.Keys(all)) {
			compare(list, strings.TrimPrefix(path+"."+k, "."), am[k], bm[k])
		}
		return
	}
	al, aok := a.([]any)
	bl, bok := b.([]any)
	if aok && bok && len(al) == len(bl) {
		for i := range al {
			compare(list, fmt.Sprintf("%s[%d]", path, i), al[i], bl[i])
		}
		return
	}
	*list = append(*list, Difference{path, a, b})
}

// CheckChange complains of what a pod that runs cannot take from another manifest.
// The rules are those of a cluster for an update of a pod and for its resize
// subresource, taken together: ValidatePodUpdate and ValidatePodResize in
// pkg/apis/core/validation of Kubernetes 1.36. Without a complaint the change can
// be made in place. Both pods are valid.
func CheckChange(old, updated *v1.Pod) field.ErrorList {
	spec := field.NewPath("spec")
	errs := append(checkContainers(spec.Child("containers"), old.Spec.Containers, updated.Spec.Containers),
		checkContainers(spec.Child("initContainers"), old.Spec.InitContainers, updated.Spec.InitContainers)...)
	if len(errs) > 0 {
		return errs
	}
	errs = append(errs, checkActiveDeadline(spec, old.Spec.ActiveDeadlineSeconds, updated.Spec.ActiveDeadlineSeconds)...)
	errs = append(errs, checkTolerations(spec, old.Spec.Tolerations, updated.Spec.Tolerations)...)
	errs = append(errs, checkAnnotations(old.Annotations, updated.Annotations)...)
	errs = append(errs, checkResize(old, updated)...)
	var rest []Difference
	compare(&rest, "", given(old), given(withoutChanges(old, updated)))
	for _, d := range rest {
		errs = append(errs, &field.Error{Type: field.ErrorTypeForbidden, Field: d.Path, Detail: "may not change in a pod that runs"})
	}
	return errs
}

func checkContainers(path *field.Path, old, updated []v1.Container) field.ErrorList {
	if len(old) != len(updated) {
		return field.ErrorList{field.Forbidden(path, "pod updates may not add or remove containers")}
	}
	var errs field.ErrorList
	for i := range old {
		if old[i].Name != updated[i].Name {
			errs = append(errs, field.Forbidden(path.Index(i).Child("name"), "containers may not be renamed or reordered"))
		}
	}
	return errs
}

func checkActiveDeadline(spec *field.Path, old, updated *int64) field.ErrorList {
	path := spec.Child("activeDeadlineSeconds")
	switch {
	case old == nil:
		return nil
	case updated == nil:
		return field.ErrorList{field.Invalid(path, updated, "must not update from a positive integer to nil value")}
	case *updated > *old:
		return field.ErrorList{field.Invalid(path, *updated, "must be less than or equal to previous value")}
	}
	return nil
}

// checkTolerations: they may become more, and those that are there may last longer or shorter.
func checkTolerations(spec *field.Path, old, updated []v1.Toleration) field.ErrorList {
	for _, o := range old {
		same := func(u v1.Toleration) bool {
			u.TolerationSeconds = o.TolerationSeconds
			return reflect.DeepEqual(u, o)
		}
		if !slices.ContainsFunc(updated, same) {
			return field.ErrorList{field.Forbidden(spec.Child("tolerations"), "existing toleration can not be modified except its tolerationSeconds")}
		}
	}
	return nil
}

// appArmorAnnotations name a container's profile, which it got when it was made.
const appArmorAnnotations = "container.apparmor.security.beta.kubernetes.io/"

func checkAnnotations(old, updated map[string]string) field.ErrorList {
	var errs field.ErrorList
	all := maps.Clone(old)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, updated)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		was, had := old[key]
		is, has := updated[key]
		if strings.HasPrefix(key, appArmorAnnotations) && (was != is || had != has) {
			errs = append(errs, field.Forbidden(field.NewPath("metadata", "annotations").Key(key), "may not add, remove or update AppArmor annotations"))
		}
	}
	return errs
}

// checkResize: amounts of cpu and memory may become others, but not go, and the
// pod's class stays.
func checkResize(old, updated *v1.Pod) field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	if QOSClass(old) != QOSClass(updated) {
		errs = append(errs, field.Invalid(spec, string(QOSClass(updated)), "Pod QOS Class may not change as a result of resizing"))
	}
	for i := range old.Spec.InitContainers {
		path, o, u := spec.Child("initContainers").Index(i), &old.Spec.InitContainers[i], &updated.Spec.InitContainers[i]
		errs = append(errs, checkRemoved(path.Child("resources"), "resource", &o.Resources, &u.Resources)...)
		sidecar := o.RestartPolicy != nil && *o.RestartPolicy == v1.ContainerRestartPolicyAlways
		restart := slices.ContainsFunc(u.ResizePolicy, func(p v1.ContainerResizePolicy) bool { return p.RestartPolicy == v1.RestartContainer })
		if !sidecar && restart && !sameAmounts(&o.Resources, &u.Resources) {
			errs = append(errs, field.Forbidden(path, "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"))
		}
	}
	for i := range old.Spec.Containers {
		path := spec.Child("containers").Index(i).Child("resources")
		errs = append(errs, checkRemoved(path, "resource", &old.Spec.Containers[i].Resources, &updated.Spec.Containers[i].Resources)...)
	}
	switch o, u := old.Spec.Resources, updated.Spec.Resources; {
	case o != nil && u == nil:
		errs = append(errs, field.Forbidden(spec.Child("resources"), "pod-level resources cannot be removed"))
	case o != nil:
		errs = append(errs, checkRemoved(spec.Child("resources"), "pod-level resource", o, u)...)
	}
	return errs
}

func checkRemoved(path *field.Path, what string, old, updated *v1.ResourceRequirements) field.ErrorList {
	var errs field.ErrorList
	for _, list := range []struct {
		name         string
		old, updated v1.ResourceList
	}{{"requests", old.Requests, updated.Requests}, {"limits", old.Limits, updated.Limits}} {
		for _, name := range slices.Sorted(maps.Keys(list.old)) {
			if _, found := list.updated[name]; !found {
				errs = append(errs, field.Forbidden(path.Child(list.name), what+" "+list.name+" cannot be removed"))
				break
			}
		}
	}
	return errs
}

// withoutChanges is the updated pod without the changes that may be made in place.
func withoutChanges(old, updated *v1.Pod) *v1.Pod {
	p := updated.DeepCopy()
	p.Labels, p.Annotations = old.Labels, old.Annotations
	p.Spec.ActiveDeadlineSeconds, p.Spec.Tolerations = old.Spec.ActiveDeadlineSeconds, old.Spec.Tolerations
	if was, is := old.Spec.TerminationGracePeriodSeconds, p.Spec.TerminationGracePeriodSeconds; was != nil && is != nil && *was < 0 && *is == 1 {
		p.Spec.TerminationGracePeriodSeconds = was
	}
	for i := range p.Spec.Containers {
		withoutChange(&old.Spec.Containers[i], &p.Spec.Containers[i])
	}
	for i := range p.Spec.InitContainers {
		withoutChange(&old.Spec.InitContainers[i], &p.Spec.InitContainers[i])
	}
	if p.Spec.Resources != nil {
		before := v1.ResourceRequirements{}
		if old.Spec.Resources != nil {
			before = *old.Spec.Resources
		}
		withoutAmounts(&before, p.Spec.Resources)
		if r := p.Spec.Resources; old.Spec.Resources == nil && len(r.Requests)+len(r.Limits)+len(r.Claims) == 0 {
			p.Spec.Resources = nil
		}
	}
	return p
}

func withoutChange(old, updated *v1.Container) {
	updated.Image = old.Image
	withoutAmounts(&old.Resources, &updated.Resources)
}

func withoutAmounts(old, updated *v1.ResourceRequirements) {
	updated.Requests = withAmountsOf(old.Requests, updated.Requests)
	updated.Limits = withAmountsOf(old.Limits, updated.Limits)
}

// resizable are the resources that change in place.
var resizable = []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory}

// withAmountsOf is the updated list with the old amounts of what is resizable.
func withAmountsOf(old, updated v1.ResourceList) v1.ResourceList {
	list := v1.ResourceList{}
	maps.Copy(list, updated)
	for _, name := range resizable {
		delete(list, name)
		if amount, found := old[name]; found {
			list[name] = amount
		}
	}
	if len(list) == 0 && len(old) == 0 {
		return old
	}
	return list
}

// sameAmounts reports whether cpu and memory are the same.
func sameAmounts(a, b *v1.ResourceRequirements) bool {
	for _, name := range resizable {
		for _, pair := range [][2]v1.ResourceList{{a.Requests, b.Requests}, {a.Limits, b.Limits}} {
			x, y := pair[0][name], pair[1][name]
			if x.Cmp(y) != 0 {
				return false
			}
		}
	}
	return true
}
