package manifest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

	"podrun/manifest/document"
)

// supported ends a complaint about a kind.
const supported = "supported are Pod, ConfigMap, Secret, PersistentVolumeClaim and List, all of apiVersion v1"

// templates are the kinds that make Pods, and the field that holds such a Pod.
var templates = map[string]string{
	"CronJob": "spec.jobTemplate.spec.template", "DaemonSet": "spec.template", "Deployment": "spec.template", "Job": "spec.template",
	"PodTemplate": "template", "ReplicaSet": "spec.template", "ReplicationController": "spec.template", "StatefulSet": "spec.template",
}

// shortKinds are kubectl's short names of kinds that podrun does not run.
var shortKinds = map[string]string{
	"cj": "CronJob", "deploy": "Deployment", "ds": "DaemonSet", "ing": "Ingress", "netpol": "NetworkPolicy", "no": "Node", "ns": "Namespace",
	"pv": "PersistentVolume", "rc": "ReplicationController", "rs": "ReplicaSet", "sa": "ServiceAccount", "sc": "StorageClass", "sts": "StatefulSet", "svc": "Service",
}

// wellKnownKind is a kind of Kubernetes that podrun does not run, as people write it: in any case, in the plural, or
// short. It is "" for any other word.
func wellKnownKind(word string) string {
	if kind := shortKinds[strings.ToLower(word)]; kind != "" {
		return kind
	}
	for _, kind := range strings.Fields(wellKnown) {
		if kind[0] < 'a' && (strings.EqualFold(word, kind) || strings.EqualFold(word, kind+"s")) { // groups are in small letters
			return kind
		}
	}
	return ""
}

// unsupported says what to do about a kind that is known, and that podrun does not run.
func unsupported(kind string) string {
	text := kind + " is not supported by podrun; " + supported
	if template := templates[kind]; template != "" {
		text += "; write its " + template + " as a Pod with a metadata.name"
	}
	return text
}

type typeMeta struct{ APIVersion, Kind string }

// supportedKinds are the kinds that are read, all of apiVersion v1.
var supportedKinds = []string{"ConfigMap", "List", "PersistentVolumeClaim", "Pod", "Secret"}

// wellKnown lists the kinds of Kubernetes itself that podrun names and skips, with the API groups that they
// are in, or were once. A line is a group and its kinds.
const wellKnown = `
v1 Binding ComponentStatus Endpoints Event LimitRange Namespace Node PersistentVolume PodTemplate ReplicationController ResourceQuota Service ServiceAccount
apps ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet
batch CronJob Job
autoscaling HorizontalPodAutoscaler
policy Eviction PodDisruptionBudget PodSecurityPolicy
networking.k8s.io IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR
rbac.authorization.k8s.io ClusterRole ClusterRoleBinding Role RoleBinding
storage.k8s.io CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass
scheduling.k8s.io PodGroup PriorityClass Workload
node.k8s.io RuntimeClass
coordination.k8s.io Lease LeaseCandidate
discovery.k8s.io EndpointSlice
events.k8s.io Event
certificates.k8s.io CertificateSigningRequest ClusterTrustBundle PodCertificateRequest
admissionregistration.k8s.io MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration
apiextensions.k8s.io CustomResourceDefinition
apiregistration.k8s.io APIService
flowcontrol.apiserver.k8s.io FlowSchema PriorityLevelConfiguration
resource.k8s.io DeviceClass DeviceTaintRule ResourceClaim ResourceClaimTemplate ResourceSlice
extensions DaemonSet Deployment Ingress NetworkPolicy PodSecurityPolicy ReplicaSet
`

// kindsByGroup is wellKnown with the supported kinds. The group of apiVersion v1 is "v1".
var kindsByGroup = sync.OnceValue(func() map[string][]string {
	m := map[string][]string{}
	for line := range strings.Lines(strings.TrimSpace(wellKnown)) {
		words := strings.Fields(line)
		m[words[0]] = words[1:]
	}
	m["v1"] = append(m["v1"], supportedKinds...)
	return m
})

// typeOf reads apiVersion and kind, and complains unless they name something that is read or skipped.
func (p *parser) typeOf(v document.Value, assumed typeMeta) (typeMeta, bool) {
	t := typeMeta{v.Field("apiVersion").Text(), v.Field("kind").Text()}
	if t == (typeMeta{}) && assumed != t {
		return assumed, true
	}
	if !v.Field("apiVersion").Exists() && !v.Field("kind").Exists() {
		_, version := v.Misspelt("apiVersion")
		_, kind := v.Misspelt("kind")
		if !version && !kind {
			p.add(v.Problem("", "is no Kubernetes object: it has neither apiVersion nor kind; %s", supported))
			return t, false
		}
	}
	missing := false
	for _, f := range []struct{ name, text string }{{"apiVersion", t.APIVersion}, {"kind", t.Kind}} {
		if f.text != "" {
			continue
		}
		missing = true
		if got := v.Field(f.name); got.Exists() {
			p.add(got.Problem(f.name, "must be a string, found %s", got.Describe()))
		} else if misspelt, ok := v.Misspelt(f.name); ok {
			p.add(misspelt)
		} else {
			p.add(v.Problem(f.name, "Required value: every object says its apiVersion and kind; %s", supported))
		}
	}
	if missing {
		return t, false
	}
	if _, list := listOf(t); list || slices.Contains(kindsByGroup()[group(t.APIVersion)], t.Kind) || custom(t) {
		return t, true
	}
	p.add(unknownKind(v, t))
	return t, false
}

// custom tells what a CustomResourceDefinition may have brought: ServiceMonitor of monitoring.coreos.com. Such a
// group has a dot in its name. A kind that podrun reads is a slip there.
func custom(t typeMeta) bool {
	g := group(t.APIVersion)
	return strings.Contains(g, ".") && kindsByGroup()[g] == nil && !slices.Contains(supportedKinds, t.Kind)
}

// unknownKind says what an apiVersion and kind that nothing is known of were probably meant to be.
func unknownKind(v document.Value, t typeMeta) Problem {
	var all []string
	groups := slices.SortedFunc(maps.Keys(kindsByGroup()), func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	for _, g := range groups {
		if slices.Contains(kindsByGroup()[g], t.Kind) {
			want := g
			if g != "v1" {
				want = g + "/v1"
			}
			return v.Field("apiVersion").Problem("apiVersion", "unknown version %q of kind %s, did you mean %q?", t.APIVersion, t.Kind, want)
		}
		all = append(all, kindsByGroup()[g]...)
	}
	kind := v.Field("kind")
	for _, near := range [][]string{kindsByGroup()[group(t.APIVersion)], all} {
		if s := document.Suggest(t.Kind, near); s != "" {
			return kind.Problem("kind", "unknown kind %q of apiVersion %s, did you mean %q?", t.Kind, t.APIVersion, s)
		}
	}
	return kind.Problem("kind", "kind %q of apiVersion %s is not known to podrun; %s", t.Kind, t.APIVersion, supported)
}

// rank is a group's place in wellKnown, which names a kind's present group before its former ones.
func rank(group string) int { return strings.Index(wellKnown, "\n"+group+" ") }

// group is the API group of an apiVersion, whatever the version: apps for apps/v1beta1. The group of plain
// v1 is "v1" here, and that of any other apiVersion without a slash is nothing.
func group(apiVersion string) string {
	g, _, slash := strings.Cut(apiVersion, "/")
	if !slash && apiVersion != "v1" {
		return ""
	}
	return g
}

// listOf tells what a list holds: any object in a List, those of one kind in a PodList. kubectl and podrun
// print such lists, whose items may leave their own kind out.
func listOf(t typeMeta) (item typeMeta, ok bool) {
	kind, isList := strings.CutSuffix(t.Kind, "List")
	if t.APIVersion != "v1" || !isList {
		return typeMeta{}, false
	}
	if kind == "" {
		return typeMeta{}, true
	}
	return typeMeta{"v1", kind}, slices.Contains(kindsByGroup()["v1"], kind)
}
