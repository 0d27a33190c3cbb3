package check_test

import "testing"

const podWith = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: web}}\nspec:\n  containers: [{name: c, image: i}]\n  %s\n"

func TestValidateNamesAndDNS(t *testing.T) {
	checkAll(t, podWith, []mistake{
		{"sound", "hostAliases: [{ip: '::1', hostnames: [a.b]}]\n  dnsPolicy: None\n  dnsConfig: {nameservers: [1.1.1.1], searches: [., a_b.c.], options: [{name: ndots, value: '2'}]}", ""},
		{"None without servers", "dnsPolicy: None", "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"},
		{"too many servers", "dnsConfig: {nameservers: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4]}", "spec.dnsConfig.nameservers: Invalid value"},
		{"an option without a name", "dnsConfig: {options: [{value: a}]}", "spec.dnsConfig.options[0]: Required value"},
		{"leading zeros", "hostAliases: [{ip: 010.0.0.1}]", `spec.hostAliases[0].ip: Invalid value: "010.0.0.1": must not have leading 0s`},
		{"a host's name with capitals", "hostAliases: [{ip: 10.0.0.1, hostnames: [A]}]", `spec.hostAliases[0].hostnames[0]: Invalid value: "A"`},
		{"two names at once", "setHostnameAsFQDN: true\n  hostnameOverride: a", "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true"},
		{"an unknown system", "os: {name: plan9}", `spec.os: Unsupported value: "plan9"`},
		{"debug containers in a manifest", "ephemeralContainers: [{name: d, image: i}]", "spec.ephemeralContainers: Forbidden: cannot be set on create"},
		{"no time at all", "activeDeadlineSeconds: 0", "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"},
	})
}

func TestValidateNamespaces(t *testing.T) {
	checkAll(t, podWith, []mistake{
		{"two process namespaces", "hostPID: true\n  shareProcessNamespace: true", "spec.securityContext.shareProcessNamespace: Invalid value: true"},
		{"mapped users on the machine's network", "hostUsers: false\n  hostNetwork: true", "spec.hostNetwork: Forbidden: when `hostUsers` is false"},
		{"a sysctl of the machine's network", "hostNetwork: true\n  securityContext: {sysctls: [{name: net.core.somaxconn, value: '1'}]}", `spec.securityContext.sysctls[0].name: Invalid value: "net.core.somaxconn": may not be specified when 'hostNetwork' is true`},
		{"a sysctl twice", "securityContext: {sysctls: [{name: net/a, value: '1'}, {name: net/a, value: '1'}]}", `spec.securityContext.sysctls[1].name: Duplicate value: "net/a"`},
		{"no sysctl's name", "securityContext: {sysctls: [{name: Net.a, value: '1'}]}", `spec.securityContext.sysctls[0].name: Invalid value: "Net.a"`},
		{"an AppArmor profile without its name", "securityContext: {appArmorProfile: {type: Localhost}}", "spec.securityContext.appArmorProfile.localhostProfile: Required value"},
		{"an AppArmor profile with a name too many", "securityContext: {appArmorProfile: {type: Unconfined, localhostProfile: a}}", `spec.securityContext.appArmorProfile.localhostProfile: Invalid value: "a"`},
	})
}

func TestValidateScheduling(t *testing.T) {
	checkAll(t, podWith, []mistake{
		{"sound", "tolerations: [{key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 5}, {operator: Exists}]\n  nodeSelector: {a: b}", ""},
		{"a toleration of all that has a value", "tolerations: [{operator: Exists, value: a}]", `spec.tolerations[0].operator: Invalid value: "a": value must be empty`},
		{"a toleration without a key", "tolerations: [{value: a}]", `spec.tolerations[0].operator: Invalid value: ""`},
		{"seconds that nothing counts", "tolerations: [{key: a, effect: NoSchedule, tolerationSeconds: 5}]", `spec.tolerations[0].effect: Invalid value: "NoSchedule"`},
		{"an operator behind a feature gate", "tolerations: [{key: a, operator: Gt, value: '1'}]", `spec.tolerations[0].operator: Unsupported value: "Gt": supported values: "Equal", "Exists"`},
		{"a label that no node has", "nodeSelector: {a: b c}", `spec.nodeSelector: Invalid value: "b c"`},
		{"terms that are missing", "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}}", "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value"},
		{"too much weight", "affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 101, podAffinityTerm: {topologyKey: zone}}]}}", "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101"},
		{"keys without a selector", "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, matchLabelKeys: [app]}]}}", "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys: Forbidden"},
		{"no skew", "topologySpreadConstraints: [{maxSkew: 0, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]", "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0"},
		{"a constraint twice", "topologySpreadConstraints: [&a {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}, *a]", "spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value"},
		{"a key in both", "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, matchLabelKeys: [app], labelSelector: {matchLabels: {app: web}}}]", `spec.topologySpreadConstraints[0][0]: Invalid value: "app": exists in both matchLabelKeys and labelSelector`},
		{"an overhead that is negative", "overhead: {cpu: -1}", `spec.overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0`},
	})
}

func TestValidateProfileAnnotations(t *testing.T) {
	checkAll(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {%s}}\nspec: {securityContext: {seccompProfile: {type: RuntimeDefault}}, containers: [{name: c, image: i, securityContext: {appArmorProfile: {type: Localhost, localhostProfile: a}}}]}\n", []mistake{
		{"they agree", "seccomp.security.alpha.kubernetes.io/pod: runtime/default, container.apparmor.security.beta.kubernetes.io/c: localhost/a", ""},
		{"another type", "seccomp.security.alpha.kubernetes.io/pod: unconfined", "spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match"},
		{"another profile", "container.apparmor.security.beta.kubernetes.io/c: localhost/b", "spec.containers[0].securityContext.appArmorProfile.localhostProfile: Forbidden: apparmor profile in annotation and field must match"},
		{"of no container", "container.apparmor.security.beta.kubernetes.io/d: runtime/default", `metadata.annotations[container.apparmor.security.beta.kubernetes.io/d]: Invalid value: "d": container not found`},
		{"of no type", "seccomp.security.alpha.kubernetes.io/pod: default", "metadata.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid value: \"default\": must be a valid seccomp profile\nspec.securityContext.seccompProfile.type: Forbidden"},
		{"no cost", "controller.kubernetes.io/pod-deletion-cost: '+1'", "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+1\": must be a 32bit integer"},
	})
}

func TestValidateResources(t *testing.T) {
	checkAll(t, podWith, []mistake{
		{"sound", "resources: {limits: {cpu: 2, memory: 1Gi}, requests: {cpu: 1}}", ""},
		{"a resource of containers only", "resources: {limits: {ephemeral-storage: 1Gi}}", "spec.resources.limits[ephemeral-storage]: Invalid value"},
	})
	checkAll(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {resources: {limits: {cpu: 1}}, containers: [{name: c, image: i, resources: {%s}}]}\n", []mistake{
		{"more than the Pod has", "limits: {cpu: 2}", "spec.resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1\nspec.resources.containers[0][cpu].limits: Invalid value: \"2\": must be less than or equal to pod limits of 1"},
		{"part of a page", "limits: {memory: 1Gi, hugepages-2Mi: 3Mi}", "spec.resources.requests[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi\n"},
		{"nothing that a container can have", "limits: {pods: 1}", "spec.containers[0].resources.requests[pods]: Invalid value: \"pods\": must be a standard resource for containers\n"},
		{"nothing that this machine has", "limits: {example.com/dongle: 1}", "spec.containers[0].resources.limits[example.com/dongle]: is not supported by podrun: nothing on this machine gives it out"},
	})
}
