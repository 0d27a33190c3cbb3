// Package conformance compares podrun's verdicts about manifests with those of an API server: it imports the
// server's own decoding, defaults and validation. It is a module of its own, for these are some four hundred packages,
// and nothing of it is in the binary.
package conformance

import (
	"regexp"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	pvcutil "k8s.io/kubernetes/pkg/api/persistentvolumeclaim"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/capabilities"
)

// Clusters allow privileged containers, though the server's flag for it is off when nobody sets it.
func init() { capabilities.Setup(true, 0) }

// verdict is what is wrong with an object. A complaint without a path is about the whole.
type verdict struct {
	undecodable bool // some value has the wrong type: nothing further is known
	strict      bool // some field is unknown: the server asks for nothing further
	complaints  []complaint
}

type complaint struct{ path, text string }

func (v verdict) ok() bool { return !v.undecodable && len(v.complaints) == 0 }

var strictCodecs = serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)

// strictPath finds the field in what the strict decoder says: unknown field "spec.foo".
var strictPath = regexp.MustCompile(`(?:unknown|duplicate) field "([^"]+)"|key "([^"]+)" already set`)

// server is what an API server with the default feature gates answers to the creation of an object, as
// kubectl apply --dry-run=server --validate=strict asks for it. Admission plugins are not asked.
func server(data []byte) verdict {
	object, _, err := strictCodecs.UniversalDecoder(core.SchemeGroupVersion, runtimeInternal).Decode(data, nil, nil)
	var v verdict
	if strict, ok := runtime.AsStrictDecodingError(err); ok { // the server looks no further
		v.strict = true
		for _, e := range strict.Errors() {
			path := ""
			if m := strictPath.FindStringSubmatch(e.Error()); m != nil {
				path = m[1] + m[2]
			}
			v.complaints = append(v.complaints, complaint{path, e.Error()})
		}
		return v
	} else if err != nil {
		return verdict{undecodable: true, complaints: []complaint{{"", err.Error()}}}
	}
	for _, e := range validate(object) {
		if e.Type == field.ErrorTypeTooLong && e.Field == "[]" { // of a ConfigMap: no field is named
			e.Field = "data"
		}
		e.Field = strings.Replace(e.Field, "].downwarAPI", "].downwardAPI", 1) // a slip of the pen
		v.complaints = append(v.complaints, complaint{e.Field, e.ErrorBody()})
	}
	return v
}

var runtimeInternal = core.SchemeGroupVersion

// validate does what the strategies of pkg/registry/core do before and in their Validate.
func validate(object runtime.Object) field.ErrorList {
	m := object.(metav1.Object)
	if m.GetNamespace() == "" {
		m.SetNamespace(v1.NamespaceDefault)
	}
	if m.GetName() == "" && m.GetGenerateName() != "" {
		m.SetName(m.GetGenerateName() + "x")
	}
	m.SetManagedFields(nil) // the server's field manager sets them
	switch o := object.(type) {
	case *core.Pod:
		o.Generation = 1
		o.Status = core.PodStatus{Phase: core.PodPending}
		podutil.DropDisabledPodFields(o, nil)
		applyLabelKeys(o)
		opts := podutil.GetValidationOptionsFromPodSpecAndMeta(&o.Spec, nil, &o.ObjectMeta, nil)
		opts.ResourceIsPod = true
		return validation.ValidatePodCreate(o, opts)
	case *core.ConfigMap:
		return validation.ValidateConfigMap(o)
	case *core.Secret:
		return validation.ValidateSecret(o)
	case *core.PersistentVolumeClaim:
		o.Status = core.PersistentVolumeClaimStatus{}
		pvcutil.DropDisabledFields(&o.Spec, nil)
		pvcutil.EnforceDataSourceBackwardsCompatibility(&o.Spec, nil)
		pvcutil.NormalizeDataSources(&o.Spec)
		return validation.ValidatePersistentVolumeClaim(o, validation.ValidationOptionsForPersistentVolumeClaim(o, nil))
	}
	return nil
}

// applyLabelKeys turns matchLabelKeys and mismatchLabelKeys into parts of the selectors, before they are validated.
func applyLabelKeys(pod *core.Pod) {
	merge := func(s *metav1.LabelSelector, keys []string, op metav1.LabelSelectorOperator) {
		for _, k := range keys {
			if value, ok := pod.Labels[k]; ok && s != nil {
				s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: k, Operator: op, Values: []string{value}})
			}
		}
	}
	term := func(t *core.PodAffinityTerm) {
		merge(t.LabelSelector, t.MatchLabelKeys, metav1.LabelSelectorOpIn)
		merge(t.LabelSelector, t.MismatchLabelKeys, metav1.LabelSelectorOpNotIn)
	}
	terms := func(required []core.PodAffinityTerm, preferred []core.WeightedPodAffinityTerm) {
		for i := range required {
			term(&required[i])
		}
		for i := range preferred {
			term(&preferred[i].PodAffinityTerm)
		}
	}
	if a := pod.Spec.Affinity; a != nil {
		if p := a.PodAffinity; p != nil {
			terms(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
		}
		if p := a.PodAntiAffinity; p != nil {
			terms(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
		}
	}
	for i := range pod.Spec.TopologySpreadConstraints {
		c := &pod.Spec.TopologySpreadConstraints[i]
		merge(c.LabelSelector, c.MatchLabelKeys, metav1.LabelSelectorOpIn)
	}
}

// paths are the places of the complaints, each once.
func (v verdict) paths() []string {
	var list []string
	for _, c := range v.complaints {
		list = append(list, c.path)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
