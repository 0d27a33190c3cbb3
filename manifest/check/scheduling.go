package check

import (
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateScheduling checks the fields that choose a node. They mean nothing on one machine, but what is
// wrong on a cluster is wrong here. A server drops schedulingGroup unread while its feature gate is off.
func validateScheduling(pod *v1.Pod, path *field.Path) field.ErrorList {
	spec := &pod.Spec
	errs := metavalidation.ValidateLabels(spec.NodeSelector, path.Child("nodeSelector"))
	placeInMap(errs, path.Child("nodeSelector").String(), spec.NodeSelector)
	for _, f := range []struct{ name, value string }{{"nodeName", spec.NodeName}, {"priorityClassName", spec.PriorityClassName}} {
		if f.value != "" {
			errs = append(errs, invalid(path.Child(f.name), f.value, apivalidation.NameIsDNSSubdomain(f.value, false))...)
		}
	}
	if p := spec.PreemptionPolicy; p != nil {
		errs = append(errs, oneOf(path.Child("preemptionPolicy"), *p, v1.PreemptLowerPriority, v1.PreemptNever)...)
	}
	if spec.Overhead != nil {
		errs = append(errs, checkQuantities(&v1.ResourceRequirements{Limits: spec.Overhead}, containerResource, path.Child("overhead"))...)
	}
	errs = append(errs, validateTolerations(spec.Tolerations, path.Child("tolerations"))...)
	errs = append(errs, validateAffinity(spec.Affinity, pod.Labels, path.Child("affinity"))...)
	return append(errs, validateSpread(spec.TopologySpreadConstraints, pod.Labels, path.Child("topologySpreadConstraints"))...)
}

// validateDeletionCost checks an annotation that only a ReplicaSet's controller reads.
func validateDeletionCost(annotations map[string]string, path *field.Path) field.ErrorList {
	text, ok := annotations["controller.kubernetes.io/pod-deletion-cost"]
	if !ok {
		return nil
	}
	_, err := strconv.ParseInt(text, 10, 32)
	// As upstream's: a leading plus or zero is no number that was meant.
	if err != nil || text[0] == '+' || text[0] == '0' && text != "0" {
		return field.ErrorList{field.Invalid(path.Key("controller.kubernetes.io/pod-deletion-cost"), text, "must be a 32bit integer")}
	}
	return nil
}

func validateTolerations(tolerations []v1.Toleration, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, t := range tolerations {
		at := path.Index(i)
		if t.Key != "" {
			errs = append(errs, metavalidation.ValidateLabelName(t.Key, at.Child("key"))...)
		} else if t.Operator != v1.TolerationOpExists {
			errs = append(errs, field.Invalid(at.Child("operator"), t.Operator, "operator must be Exists when `key` is empty, which means \"match all values and all keys\""))
		}
		if t.TolerationSeconds != nil && t.Effect != v1.TaintEffectNoExecute {
			errs = append(errs, field.Invalid(at.Child("effect"), t.Effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
		}
		switch t.Operator {
		case v1.TolerationOpEqual, "":
			if why := validation.IsValidLabelValue(t.Value); len(why) > 0 {
				errs = append(errs, field.Invalid(at.Child("operator"), t.Value, strings.Join(why, ";")))
			}
		case v1.TolerationOpExists:
			if t.Value != "" {
				errs = append(errs, field.Invalid(at.Child("operator"), t.Value, "value must be empty when `operator` is 'Exists'"))
			}
		default: // Lt and Gt wait for a feature gate
			errs = append(errs, oneOf(at.Child("operator"), t.Operator, v1.TolerationOpEqual, v1.TolerationOpExists)...)
		}
		if t.Effect != "" {
			errs = append(errs, oneOf(at.Child("effect"), t.Effect, v1.TaintEffectNoSchedule, v1.TaintEffectPreferNoSchedule, v1.TaintEffectNoExecute)...)
		}
	}
	return errs
}

func validateAffinity(a *v1.Affinity, labels map[string]string, path *field.Path) field.ErrorList {
	if a == nil {
		return nil
	}
	const required, preferred = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
	var errs field.ErrorList
	if n := a.NodeAffinity; n != nil {
		at := path.Child("nodeAffinity")
		if s := n.RequiredDuringSchedulingIgnoredDuringExecution; s != nil {
			terms := at.Child(required, "nodeSelectorTerms")
			if len(s.NodeSelectorTerms) == 0 {
				errs = append(errs, field.Required(terms, "must have at least one node selector term"))
			}
			for i, t := range s.NodeSelectorTerms {
				errs = append(errs, validateNodeTerm(t, true, terms.Index(i))...)
			}
		}
		for i, p := range n.PreferredDuringSchedulingIgnoredDuringExecution {
			at := at.Child(preferred).Index(i)
			errs = append(errs, validateWeight(p.Weight, at.Child("weight"))...)
			errs = append(errs, validateNodeTerm(p.Preference, false, at.Child("preference"))...)
		}
	}
	pods := func(name string, must []v1.PodAffinityTerm, may []v1.WeightedPodAffinityTerm) {
		for i, t := range must {
			errs = append(errs, validatePodTerm(t, labels, path.Child(name, required).Index(i))...)
		}
		for i, t := range may {
			at := path.Child(name, preferred).Index(i)
			errs = append(errs, validateWeight(t.Weight, at.Child("weight"))...)
			errs = append(errs, validatePodTerm(t.PodAffinityTerm, labels, at.Child("podAffinityTerm"))...)
		}
	}
	if p := a.PodAffinity; p != nil {
		pods("podAffinity", p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if p := a.PodAntiAffinity; p != nil {
		pods("podAntiAffinity", p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	return errs
}

func validateWeight(weight int32, at *field.Path) field.ErrorList {
	if weight >= 1 && weight <= 100 {
		return nil
	}
	return field.ErrorList{field.Invalid(at, weight, "must be in the range 1-100")}
}

// validateNodeTerm checks what a node must be like. Values that no label could have are taken where they are only preferred.
func validateNodeTerm(t v1.NodeSelectorTerm, values bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, e := range t.MatchExpressions {
		at := path.Child("matchExpressions").Index(i)
		switch e.Operator {
		case v1.NodeSelectorOpIn, v1.NodeSelectorOpNotIn:
			if len(e.Values) == 0 {
				errs = append(errs, field.Required(at.Child("values"), "must be specified when `operator` is 'In' or 'NotIn'"))
			}
		case v1.NodeSelectorOpExists, v1.NodeSelectorOpDoesNotExist:
			if len(e.Values) > 0 {
				errs = append(errs, field.Forbidden(at.Child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
			}
		case v1.NodeSelectorOpGt, v1.NodeSelectorOpLt:
			if len(e.Values) != 1 {
				errs = append(errs, field.Required(at.Child("values"), "must be specified single value when `operator` is 'Lt' or 'Gt'"))
			}
		default:
			errs = append(errs, field.Invalid(at.Child("operator"), e.Operator, "not a valid selector operator"))
		}
		errs = append(errs, metavalidation.ValidateLabelName(e.Key, at.Child("key"))...)
		for j, v := range e.Values {
			if values {
				errs = append(errs, invalid(at.Child("values").Index(j), v, validation.IsValidLabelValue(v))...)
			}
		}
	}
	for i, e := range t.MatchFields {
		at := path.Child("matchFields").Index(i)
		if e.Operator != v1.NodeSelectorOpIn && e.Operator != v1.NodeSelectorOpNotIn {
			errs = append(errs, field.Invalid(at.Child("operator"), e.Operator, "not a valid selector operator"))
		} else if len(e.Values) != 1 {
			errs = append(errs, field.Required(at.Child("values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
		}
		if e.Key != metav1.ObjectNameField {
			errs = append(errs, field.Invalid(at.Child("key"), e.Key, "not a valid field selector key"))
			continue
		}
		for j, v := range e.Values {
			errs = append(errs, invalid(at.Child("values").Index(j), v, apivalidation.NameIsDNSSubdomain(v, false))...)
		}
	}
	return errs
}

func validatePodTerm(t v1.PodAffinityTerm, labels map[string]string, path *field.Path) field.ErrorList {
	if len(t.MatchLabelKeys)+len(t.MismatchLabelKeys) > 0 {
		t.LabelSelector = withKeys(withKeys(t.LabelSelector, t.MatchLabelKeys, metav1.LabelSelectorOpIn, labels), t.MismatchLabelKeys, metav1.LabelSelectorOpNotIn, labels)
	}
	errs := validateSelector(t.LabelSelector, path.Child("labelSelector"))
	errs = append(errs, validateSelector(t.NamespaceSelector, path.Child("namespaceSelector"))...)
	for _, name := range t.Namespaces {
		errs = append(errs, invalid(path.Child("namespace"), name, apivalidation.ValidateNamespaceName(name, false))...)
	}
	errs = append(errs, validateLabelKeys(t.MatchLabelKeys, t.MismatchLabelKeys, t.LabelSelector, path)...)
	if t.TopologyKey == "" {
		errs = append(errs, field.Required(path.Child("topologyKey"), "can not be empty"))
	}
	return append(errs, metavalidation.ValidateLabelName(t.TopologyKey, path.Child("topologyKey"))...)
}

func validateSelector(s *metav1.LabelSelector, path *field.Path) field.ErrorList {
	return metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, path)
}

// withKeys adds to a selector what matchLabelKeys make of the Pod's labels, as a server does before it validates.
func withKeys(s *metav1.LabelSelector, keys []string, op metav1.LabelSelectorOperator, labels map[string]string) *metav1.LabelSelector {
	if s == nil {
		return nil
	}
	s = s.DeepCopy()
	for _, k := range keys {
		if value, ok := labels[k]; ok {
			s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: k, Operator: op, Values: []string{value}})
		}
	}
	return s
}

// validateLabelKeys checks matchLabelKeys and mismatchLabelKeys beside the selector that they have been merged into.
func validateLabelKeys(match, mismatch []string, selector *metav1.LabelSelector, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, f := range []struct {
		name string
		keys []string
	}{{"matchLabelKeys", match}, {"mismatchLabelKeys", mismatch}} {
		at := path.Child(f.name)
		if selector == nil && len(f.keys) > 0 {
			errs = append(errs, field.Forbidden(at, "must not be specified when labelSelector is not set"))
			continue
		}
		for i, k := range f.keys {
			errs = append(errs, metavalidation.ValidateLabelName(k, at.Index(i))...)
		}
	}
	index := map[string]int{}
	for i, k := range match {
		index[k] = i
		for _, other := range mismatch {
			if k == other {
				errs = append(errs, field.Invalid(path.Child("matchLabelKeys").Index(i), k, "exists in both matchLabelKeys and mismatchLabelKeys"))
				break
			}
		}
	}
	if selector == nil {
		return errs
	}
	seen := map[string]bool{}
	for k := range selector.MatchLabels {
		seen[k] = true
	}
	for _, e := range selector.MatchExpressions {
		if i, ok := index[e.Key]; ok && seen[e.Key] {
			errs = append(errs, placeAt(path.Child("matchLabelKeys").Index(i), field.ErrorList{field.Invalid(path.Index(i), e.Key, "exists in both matchLabelKeys and labelSelector")})...)
		}
		seen[e.Key] = true
	}
	return errs
}

func validateSpread(constraints []v1.TopologySpreadConstraint, labels map[string]string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, c := range constraints {
		at := path.Index(i)
		if c.MaxSkew <= 0 {
			errs = append(errs, field.Invalid(at.Child("maxSkew"), c.MaxSkew, "must be greater than zero"))
		}
		if c.TopologyKey == "" {
			errs = append(errs, field.Required(at.Child("topologyKey"), "can not be empty"))
		}
		errs = append(errs, oneOf(at.Child("whenUnsatisfiable"), c.WhenUnsatisfiable, v1.DoNotSchedule, v1.ScheduleAnyway)...)
		for _, other := range constraints[i+1:] {
			if other.TopologyKey == c.TopologyKey && other.WhenUnsatisfiable == c.WhenUnsatisfiable {
				errs = append(errs, field.Duplicate(at.Child("{topologyKey, whenUnsatisfiable}"), fmt.Sprintf("{%s, %s}", c.TopologyKey, c.WhenUnsatisfiable)))
				break
			}
		}
		if n := c.MinDomains; n != nil {
			if *n <= 0 {
				errs = append(errs, field.Invalid(at.Child("minDomains"), *n, "must be greater than zero"))
			}
			if c.WhenUnsatisfiable != v1.DoNotSchedule {
				errs = append(errs, field.Invalid(at.Child("minDomains"), *n, fmt.Sprintf("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not %s", c.WhenUnsatisfiable)))
			}
		}
		for _, p := range []struct {
			name   string
			policy *v1.NodeInclusionPolicy
		}{{"nodeAffinityPolicy", c.NodeAffinityPolicy}, {"nodeTaintsPolicy", c.NodeTaintsPolicy}} {
			if p.policy != nil {
				errs = append(errs, oneOf(at.Child(p.name), *p.policy, v1.NodeInclusionPolicyHonor, v1.NodeInclusionPolicyIgnore)...)
			}
		}
		selector := withKeys(c.LabelSelector, c.MatchLabelKeys, metav1.LabelSelectorOpIn, labels)
		errs = append(errs, validateLabelKeys(c.MatchLabelKeys, nil, selector, at)...)
		errs = append(errs, validateSelector(selector, at.Child("labelSelector"))...)
	}
	return errs
}
