package check

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	resources "k8s.io/component-helpers/resource"
)

// validateResources checks what a container asks for, and that this machine has such a thing at all.
func validateResources(r *v1.ResourceRequirements, path *field.Path) field.ErrorList {
	errs := checkQuantities(r, containerResource, path)
	for _, list := range []struct {
		name       string
		quantities v1.ResourceList
	}{{"limits", r.Limits}, {"requests", r.Requests}} {
		for name := range list.quantities {
			_, limited := r.Limits[name]
			if list.name == "requests" && limited { // its limit is complained of, which it may come from
				continue
			}
			if why := containerResource(name); why == "" && !given(name) {
				errs = append(errs, notHere(path.Child(list.name).Key(string(name)), name, "nothing on this machine gives it out, leave it out"))
			}
		}
	}
	return errs
}

// given tells whether podrun gives containers a resource.
func given(name v1.ResourceName) bool {
	return name == v1.ResourceCPU || name == v1.ResourceMemory || name == v1.ResourceEphemeralStorage || isHugePages(name)
}

func isHugePages(name v1.ResourceName) bool {
	return strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix)
}

// overcommit tells whether more of a resource may be promised than there is: then a request may be below its limit.
func overcommit(name v1.ResourceName) bool { return native(name) && !isHugePages(name) }

// native tells Kubernetes' own resources from those of others.
func native(name v1.ResourceName) bool {
	return !strings.Contains(string(name), "/") || strings.Contains(string(name), v1.ResourceDefaultNamespacePrefix)
}

// containerResource says why a name is none of a resource of a container; "" if it is one.
func containerResource(name v1.ResourceName) string {
	switch {
	case len(validation.IsQualifiedName(string(name))) > 0:
		return validation.IsQualifiedName(string(name))[0]
	case !strings.Contains(string(name), "/"):
		if name != v1.ResourceCPU && name != v1.ResourceMemory && name != v1.ResourceEphemeralStorage && !isHugePages(name) {
			return "must be a standard resource for containers"
		}
	case !native(name) && (strings.HasPrefix(string(name), v1.DefaultResourceRequestsPrefix) || len(validation.IsQualifiedName(v1.DefaultResourceRequestsPrefix+string(name))) > 0):
		return "doesn't follow extended resource name standard"
	}
	return ""
}

func podResource(name v1.ResourceName) string {
	switch {
	case len(validation.IsQualifiedName(string(name))) > 0:
		return validation.IsQualifiedName(string(name))[0]
	case !resources.IsSupportedPodLevelResource(name):
		return "must be cpu, memory or hugepages-<size> for a Pod as a whole"
	}
	return ""
}

// checkQuantities checks limits and requests by themselves; wrong says what is wrong with a name.
func checkQuantities(r *v1.ResourceRequirements, wrong func(v1.ResourceName) string, path *field.Path) field.ErrorList {
	limits, requests := path.Child("limits"), path.Child("requests")
	var errs field.ErrorList
	hugePages, computes := false, false
	each := func(list v1.ResourceList, path *field.Path) {
		for name, q := range list {
			at := path.Key(string(name))
			if why := wrong(name); why != "" {
				errs = append(errs, field.Invalid(at, name, why))
			}
			errs = append(errs, checkQuantity(name, q, at)...)
			hugePages = hugePages || isHugePages(name)
			computes = computes || name == v1.ResourceCPU || name == v1.ResourceMemory
		}
	}
	each(r.Limits, limits)
	each(r.Requests, requests)
	for name, request := range r.Requests {
		limit, limited := r.Limits[name]
		var complaint *field.Error
		switch {
		case !limited && !overcommit(name):
			complaint = field.Required(limits, "Limit must be set for non overcommitable resources")
		case limited && !overcommit(name) && request.Cmp(limit) != 0:
			complaint = field.Invalid(requests, request.String(), fmt.Sprintf("must be equal to %s limit of %s", name, limit.String()))
		case limited && request.Cmp(limit) > 0:
			complaint = field.Invalid(requests, request.String(), fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String()))
		default:
			continue
		}
		errs = append(errs, placeAt(requests.Key(string(name)), field.ErrorList{complaint})...)
	}
	if hugePages && !computes {
		errs = append(errs, field.Forbidden(path, "HugePages require cpu or memory"))
	}
	return errs
}

func checkQuantity(name v1.ResourceName, q resource.Quantity, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if q.Sign() < 0 {
		errs = append(errs, field.Invalid(at, q.String(), "must be greater than or equal to 0"))
	}
	if !native(name) && containerResource(name) == "" && q.MilliValue()%1000 != 0 {
		errs = append(errs, field.Invalid(at, q.String(), "must be an integer"))
	}
	if isHugePages(name) {
		size, err := resource.ParseQuantity(strings.TrimPrefix(string(name), v1.ResourceHugePagesPrefix))
		if err != nil || size.Sign() <= 0 || size.MilliValue()%1000 != 0 || q.Value()%size.Value() != 0 {
			errs = append(errs, field.Invalid(at, q.String(), fmt.Sprintf("%s is not positive integer multiple of %s", q.String(), name)))
		}
	}
	return errs
}

// validatePodResources checks the resources of the Pod as a whole, which its containers must fit into.
func validatePodResources(spec *v1.PodSpec, path *field.Path) field.ErrorList {
	r := spec.Resources
	if r == nil {
		return nil
	}
	errs := checkQuantities(r, podResource, path)
	pod, options := &v1.Pod{Spec: *spec}, resources.PodResourcesOptions{}
	for name, all := range resources.AggregateContainerRequests(pod, options) {
		if request, ok := r.Requests[name]; ok && all.Cmp(request) > 0 {
			errs = append(errs, field.Invalid(path.Child("requests").Key(string(name)), request.String(),
				fmt.Sprintf("must be greater than or equal to aggregate container requests of %s", all.String())))
		}
	}
	for name, all := range resources.AggregateContainerLimits(pod, options) {
		if limit, ok := r.Limits[name]; ok && isHugePages(name) && all.Cmp(limit) > 0 {
			errs = append(errs, field.Invalid(path.Child("limits").Key(string(name)), limit.String(),
				fmt.Sprintf("must be greater than or equal to aggregate container limits of %s", all.String())))
		}
	}
	for i := range spec.Containers {
		for name, own := range spec.Containers[i].Resources.Limits {
			if limit, ok := r.Limits[name]; ok && own.Cmp(limit) > 0 {
				at := field.NewPath("spec", "containers").Index(i).Child("resources", "limits").Key(string(name))
				errs = append(errs, placeAt(at, field.ErrorList{field.Invalid(path.Child("containers").Index(i).Key(string(name)).Child("limits"), own.String(),
					fmt.Sprintf("must be less than or equal to pod limits of %s", limit.String()))})...)
			}
		}
	}
	return errs
}
