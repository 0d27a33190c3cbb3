package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"

	"podrun/manifest"
	"podrun/manifest/check"
	"podrun/pod"
)

// TestUpdates holds what may change in a pod that runs: every single change of the pods of testdata that leaves a valid
// pod. Only the verdicts are compared: a server forbids changes of a spec as a whole, podrun names the fields.
func TestUpdates(t *testing.T) {
	c, m := newTally(), mutator{1, map[string]int{}}
	for _, s := range full(t) {
		if s.object["kind"] != "Pod" {
			continue
		}
		old := encode(t, s.object)
		m.mutations(clone(s.object), func(what string, data []byte) {
			c.beside(func() { c.holdUpdate(what, old, data) })
		})
	}
	c.report(t)
}

func (c *tally) holdUpdate(what string, old, data []byte) {
	if !server(data).ok() {
		return
	}
	if v, refused := ours(data); !v.ok() || len(refused) > 0 {
		return
	}
	theirs, own := serverUpdate(old, data), change(old, data)
	if theirs == nil || own == nil {
		return
	}
	c.Lock()
	defer c.Unlock()
	if (len(*theirs) == 0) == (len(*own) == 0) {
		c.counts[agree]++
		return
	}
	c.counts[differ]++
	key := "accepted by one side alone:" + *theirs + *own
	c.examples[key] = append(c.examples[key], what)
}

// serverUpdate is what a server says to the change of a pod: as an update, or else as a resize of its resources alone.
// nil is said of what is another pod.
func serverUpdate(oldData, data []byte) *string {
	old, updated := internalPod(oldData), internalPod(data)
	if old.Name != updated.Name || old.Namespace != updated.Namespace {
		return nil
	}
	keepPolicies(old.Spec.Containers, updated.Spec.Containers)
	keepPolicies(old.Spec.InitContainers, updated.Spec.InitContainers)
	keepMeaningless(&old.Spec, &updated.Spec)
	podutil.DropDisabledPodFields(updated, old)
	opts := podutil.GetValidationOptionsFromPodSpecAndMeta(&updated.Spec, &old.Spec, &updated.ObjectMeta, &old.ObjectMeta)
	opts.ResourceIsPod = true
	errs := validation.ValidatePodUpdate(updated, old, opts)
	if len(errs) > 0 && onlyResources(old, updated) {
		errs = validation.ValidatePodResize(updated, old, opts)
	}
	text := ""
	if len(errs) > 0 {
		text = " server: " + errs.ToAggregate().Error()
		text = text[:min(len(text), 300)]
	}
	return &text
}

// keepMeaningless undoes the change of what has no meaning on one machine: a server refuses it, podrun has nothing to
// refuse. Tolerations have a rule of their own, which is the server's.
func keepMeaningless(old, updated *core.PodSpec) {
	updated.NodeName, updated.NodeSelector, updated.Affinity = old.NodeName, old.NodeSelector, old.Affinity
	updated.TopologySpreadConstraints, updated.SchedulerName = old.TopologySpreadConstraints, old.SchedulerName
	updated.SchedulingGroup, updated.Overhead = old.SchedulingGroup, old.Overhead
	updated.Priority, updated.PriorityClassName, updated.PreemptionPolicy = old.Priority, old.PriorityClassName, old.PreemptionPolicy
	updated.ServiceAccountName, updated.AutomountServiceAccountToken = old.ServiceAccountName, old.AutomountServiceAccountToken
	updated.EnableServiceLinks = old.EnableServiceLinks
}

// keepPolicies undoes the default of a pull policy that went with another tag: kubectl sends what the manifest says.
func keepPolicies(old, updated []core.Container) {
	for i := range updated {
		if i < len(old) && old[i].Image != updated[i].Image {
			updated[i].ImagePullPolicy = old[i].ImagePullPolicy
		}
	}
}

func internalPod(data []byte) *core.Pod {
	object, _, err := strictCodecs.UniversalDecoder(core.SchemeGroupVersion).Decode(data, nil, nil)
	if err != nil {
		panic(err)
	}
	p := object.(*core.Pod)
	p.UID, p.ResourceVersion, p.Generation = "u", "1", 1
	p.ManagedFields, p.Status = nil, core.PodStatus{}
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = nil, nil
	p.CreationTimestamp.Reset()
	p.Finalizers, p.OwnerReferences, p.GenerateName = nil, nil, ""
	if p.Namespace == "" {
		p.Namespace = "default"
	}
	return p
}

// onlyResources tells whether two pods are the same but for their resources, which a request to the subresource changes.
func onlyResources(old, updated *core.Pod) bool {
	bare := func(p *core.Pod) string {
		p = p.DeepCopy()
		p.Spec.Resources = nil
		for _, list := range [][]core.Container{p.Spec.Containers, p.Spec.InitContainers} {
			for i := range list {
				list[i].Resources = core.ResourceRequirements{}
			}
		}
		data, err := json.Marshal(p)
		if err != nil {
			panic(err)
		}
		return string(data)
	}
	return bare(old) == bare(updated)
}

// change is what podrun says.
func change(oldData, data []byte) *string {
	parse := func(data []byte) *manifest.Objects {
		o, err := manifest.Parse([]manifest.Source{{Name: "f", Data: data}}, manifest.Options{})
		if err != nil {
			panic(err)
		}
		return o
	}
	old, updated := parse(oldData).Pods[0], parse(data).Pods[0]
	text := ""
	if errs := pod.CheckChange(old, updated); len(errs) > 0 {
		text = " podrun: " + errs.ToAggregate().Error()
		text = text[:min(len(text), 300)]
	}
	return &text
}

// TestObjectUpdates holds what may change in ConfigMaps, Secrets and claims that are kept, the immutable ones among them.
func TestObjectUpdates(t *testing.T) {
	c, m := newTally(), mutator{1, map[string]int{}}
	for _, s := range full(t) {
		if s.object["kind"] == "Pod" {
			continue
		}
		old := encode(t, s.object)
		m.mutations(clone(s.object), func(what string, data []byte) {
			if v, refused := ours(data); server(data).ok() && v.ok() && len(refused) == 0 {
				c.compareUpdate(what, old, data)
			}
		})
	}
	c.report(t)
}

func (c *tally) compareUpdate(what string, old, data []byte) {
	theirs, own := objectUpdate(old, data)
	if theirs == nil {
		return
	}
	slices.Sort(*theirs)
	slices.Sort(own)
	if slices.Equal(slices.Compact(*theirs), slices.Compact(own)) {
		c.counts[agree]++
		return
	}
	c.counts[differ]++
	key := fmt.Sprintf("the server complains of %v, podrun of %v", *theirs, own)
	c.examples[key] = append(c.examples[key], what)
}

// objectUpdate is the paths of what either side complains of; nil for another object.
func objectUpdate(oldData, data []byte) (theirs *[]string, own []string) {
	decode := func(data []byte) runtime.Object {
		object, _, err := strictCodecs.UniversalDecoder(core.SchemeGroupVersion).Decode(data, nil, nil)
		if err != nil {
			panic(err)
		}
		m := object.(metav1.Object)
		m.SetUID("u")
		m.SetResourceVersion("1")
		m.SetFinalizers(nil)
		m.SetOwnerReferences(nil)
		m.SetManagedFields(nil)
		m.SetGenerateName("")
		m.SetGeneration(0)
		if m.GetNamespace() == "" {
			m.SetNamespace("default")
		}
		return object
	}
	parse := func(data []byte) *manifest.Objects {
		o, err := manifest.Parse([]manifest.Source{{Name: "f", Data: data}}, manifest.Options{})
		if err != nil {
			panic(err)
		}
		return o
	}
	old, updated, was, is := decode(oldData), decode(data), parse(oldData), parse(data)
	if o, u := old.(metav1.Object), updated.(metav1.Object); o.GetName() != u.GetName() || o.GetNamespace() != u.GetNamespace() {
		return nil, nil
	}
	var errs, ownErrs field.ErrorList
	switch u := updated.(type) {
	case *core.ConfigMap:
		errs = validation.ValidateConfigMapUpdate(u, old.(*core.ConfigMap))
		ownErrs = check.ConfigMapUpdate(is.ConfigMaps[0], was.ConfigMaps[0])
	case *core.Secret:
		errs = validation.ValidateSecretUpdate(u, old.(*core.Secret))
		ownErrs = check.SecretUpdate(is.Secrets[0], was.Secrets[0])
	case *core.PersistentVolumeClaim:
		o := old.(*core.PersistentVolumeClaim)
		o.Status.Phase, u.Status.Phase = core.ClaimBound, core.ClaimBound
		o.Status.Capacity, u.Status.Capacity = o.Spec.Resources.Requests, o.Spec.Resources.Requests
		errs = validation.ValidatePersistentVolumeClaimUpdate(u, o, validation.ValidationOptionsForPersistentVolumeClaim(u, o))
		ownErrs = check.ClaimUpdate(is.Claims[0], was.Claims[0])
	}
	paths := []string{}
	for _, e := range errs {
		paths = append(paths, e.Field)
	}
	own = []string{}
	for _, e := range ownErrs {
		own = append(own, e.Field)
	}
	return &paths, own
}
