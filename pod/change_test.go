package pod

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func amounts(cpu, memory string) v1.ResourceList {
	list := v1.ResourceList{}
	if cpu != "" {
		list[v1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		list[v1.ResourceMemory] = resource.MustParse(memory)
	}
	return list
}

// changeable is a pod with all that may change.
func changeable() *v1.Pod {
	always := v1.ContainerRestartPolicyAlways
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default", UID: "uid", Generation: 3, Labels: map[string]string{"app": "x"}},
		Spec: v1.PodSpec{
			InitContainers: []v1.Container{{Name: "first", Image: "i:1"}, {Name: "side", Image: "s:1", RestartPolicy: &always}},
			Containers: []v1.Container{
				{Name: "a", Image: "a:1", Resources: v1.ResourceRequirements{Requests: amounts("100m", "64Mi"), Limits: amounts("200m", "")}},
				{Name: "b", Image: "b:1"},
			},
			ActiveDeadlineSeconds: ptr(int64(100)),
			Tolerations:           []v1.Toleration{{Key: "k", Operator: v1.TolerationOpExists, Effect: v1.TaintEffectNoExecute, TolerationSeconds: ptr(int64(5))}},
		},
	}
}

const mayNot = ": may not change in a pod that runs"

// The rows are those of ValidatePodUpdate's and ValidatePodResize's own tests, as far as they mean anything here.
func TestCheckChange(t *testing.T) {
	for _, test := range []struct {
		why    string
		change func(*v1.Pod)
		want   string
	}{
		{"nothing", func(*v1.Pod) {}, ""},
		{"what only a server sets", func(p *v1.Pod) { p.UID, p.Generation, p.ResourceVersion = "other", 9, "7" }, ""},
		{"labels", func(p *v1.Pod) { p.Labels = map[string]string{"tier": "y"} }, ""},
		{"annotations", func(p *v1.Pod) { p.Annotations = map[string]string{"note": "y"} }, ""},
		{"an AppArmor annotation", func(p *v1.Pod) { p.Annotations = map[string]string{appArmorAnnotations + "a": "unconfined"} },
			"metadata.annotations[container.apparmor.security.beta.kubernetes.io/a]: may not add, remove or update AppArmor annotations"},
		{"an image", func(p *v1.Pod) { p.Spec.Containers[1].Image = "b:2" }, ""},
		{"images of init containers", func(p *v1.Pod) { p.Spec.InitContainers[0].Image, p.Spec.InitContainers[1].Image = "i:2", "s:2" }, ""},
		{"a shorter deadline", func(p *v1.Pod) { p.Spec.ActiveDeadlineSeconds = ptr(int64(99)) }, ""},
		{"a longer deadline", func(p *v1.Pod) { p.Spec.ActiveDeadlineSeconds = ptr(int64(101)) }, "spec.activeDeadlineSeconds: must be less than or equal to previous value"},
		{"no deadline any more", func(p *v1.Pod) { p.Spec.ActiveDeadlineSeconds = nil }, "spec.activeDeadlineSeconds: must not update from a positive integer to nil value"},
		{"one toleration more, and longer", func(p *v1.Pod) {
			p.Spec.Tolerations[0].TolerationSeconds = ptr(int64(50))
			p.Spec.Tolerations = append(p.Spec.Tolerations, v1.Toleration{Key: "l"})
		}, ""},
		{"another toleration", func(p *v1.Pod) { p.Spec.Tolerations[0].Key = "l" }, "spec.tolerations: existing toleration can not be modified except its tolerationSeconds"},
		{"a container more", func(p *v1.Pod) { p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: "c"}) }, "spec.containers: pod updates may not add or remove containers"},
		{"an init container less", func(p *v1.Pod) { p.Spec.InitContainers = p.Spec.InitContainers[1:] }, "spec.initContainers: pod updates may not add or remove containers"},
		{"containers in another order", func(p *v1.Pod) {
			p.Spec.Containers[0], p.Spec.Containers[1] = p.Spec.Containers[1], p.Spec.Containers[0]
		},
			"spec.containers[0].name: containers may not be renamed or reordered\nspec.containers[1].name: containers may not be renamed or reordered"},
		{"the grace period", func(p *v1.Pod) { p.Spec.TerminationGracePeriodSeconds = ptr(int64(1)) }, "spec.terminationGracePeriodSeconds" + mayNot},
		{"what has no meaning here", func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} }, ""},
		{"a command beside an image", func(p *v1.Pod) { p.Spec.Containers[0].Image, p.Spec.Containers[0].Command = "a:2", []string{"x"} }, "spec.containers[0].command" + mayNot},
		{"a variable", func(p *v1.Pod) { p.Spec.Containers[0].Env = []v1.EnvVar{{Name: "A", Value: "b"}} }, "spec.containers[0].env" + mayNot},
		{"a pull policy", func(p *v1.Pod) { p.Spec.Containers[1].ImagePullPolicy = v1.PullAlways }, "spec.containers[1].imagePullPolicy" + mayNot},
		{"amounts of cpu and memory", func(p *v1.Pod) {
			p.Spec.Containers[0].Resources = v1.ResourceRequirements{Requests: amounts("150m", "32Mi"), Limits: amounts("1", "64Mi")}
		}, ""},
		{"the first amounts", func(p *v1.Pod) { p.Spec.Containers[1].Resources.Limits = amounts("", "64Mi") }, ""},
		{"of a sidecar and of an init container", func(p *v1.Pod) {
			p.Spec.InitContainers[0].Resources.Requests, p.Spec.InitContainers[1].Resources.Requests = amounts("1", ""), amounts("2", "")
		}, ""},
		{"of an init container that would have to restart", func(p *v1.Pod) {
			p.Spec.InitContainers[0].Resources.Requests = amounts("1", "")
			p.Spec.InitContainers[0].ResizePolicy = []v1.ContainerResizePolicy{{ResourceName: v1.ResourceCPU, RestartPolicy: v1.RestartContainer}}
		}, "spec.initContainers[0]: non-sidecar init containers with a resize policy of RestartContainer cannot be resized\nspec.initContainers[0].resizePolicy" + mayNot},
		{"no limit any more", func(p *v1.Pod) { p.Spec.Containers[0].Resources.Limits = nil }, "spec.containers[0].resources.limits: resource limits cannot be removed"},
		{"no request of memory any more", func(p *v1.Pod) { p.Spec.Containers[0].Resources.Requests = amounts("100m", "") }, "spec.containers[0].resources.requests: resource requests cannot be removed"},
		{"another class", func(p *v1.Pod) {
			for _, list := range [][]v1.Container{p.Spec.InitContainers, p.Spec.Containers} {
				for i := range list {
					list[i].Resources = v1.ResourceRequirements{Requests: amounts("100m", "64Mi"), Limits: amounts("100m", "64Mi")}
				}
			}
		}, "spec: Pod QOS Class may not change as a result of resizing"},
		{"another resource", func(p *v1.Pod) {
			p.Spec.Containers[0].Resources.Limits[v1.ResourceEphemeralStorage] = resource.MustParse("1Gi")
		}, "spec.containers[0].resources.limits.ephemeral-storage" + mayNot},
		{"the pod's own amounts, for the first time", func(p *v1.Pod) {
			p.Spec.Resources = &v1.ResourceRequirements{Requests: amounts("1", "1Gi"), Limits: amounts("2", "1Gi")}
		}, ""},
		{"the pod's own huge pages", func(p *v1.Pod) {
			p.Spec.Resources = &v1.ResourceRequirements{Requests: amounts("1", "1Gi"), Limits: v1.ResourceList{"hugepages-2Mi": resource.MustParse("2Mi")}}
		}, "spec.resources" + mayNot},
		{"a resize policy", func(p *v1.Pod) {
			p.Spec.Containers[0].ResizePolicy = []v1.ContainerResizePolicy{{ResourceName: v1.ResourceCPU, RestartPolicy: v1.RestartContainer}}
		}, "spec.containers[0].resizePolicy" + mayNot},
		{"a volume", func(p *v1.Pod) { p.Spec.Volumes = []v1.Volume{{Name: "v"}} }, "spec.volumes" + mayNot},
	} {
		updated := changeable()
		test.change(updated)
		var got []string
		for _, e := range CheckChange(changeable(), updated) {
			got = append(got, e.Field+": "+e.Detail)
		}
		if got := strings.Join(got, "\n"); got != test.want {
			t.Errorf("%s: got %q, want %q", test.why, got, test.want)
		}
	}
	negative, one := changeable(), changeable()
	negative.Spec.TerminationGracePeriodSeconds, one.Spec.TerminationGracePeriodSeconds = ptr(int64(-5)), ptr(int64(1))
	if errs := CheckChange(negative, one); len(errs) > 0 {
		t.Errorf("a negative grace period becomes 1: got %v", errs)
	}
	if errs := CheckChange(newPod(v1.RestartPolicyAlways, "a"), func() *v1.Pod {
		p := newPod(v1.RestartPolicyAlways, "a")
		p.Spec.ActiveDeadlineSeconds = ptr(int64(5))
		return p
	}()); len(errs) > 0 {
		t.Errorf("a first deadline: got %v", errs)
	}
}

func TestCheckChangeOfThePodsOwnResources(t *testing.T) {
	with := func(r *v1.ResourceRequirements) *v1.Pod {
		p := changeable()
		p.Spec.Resources = r
		return p
	}
	old := with(&v1.ResourceRequirements{Requests: amounts("1", "1Gi"), Limits: amounts("2", "")})
	for _, test := range []struct {
		why     string
		updated *v1.ResourceRequirements
		want    string
	}{
		{"more and less", &v1.ResourceRequirements{Requests: amounts("500m", "1Gi"), Limits: amounts("4", "2Gi")}, ""},
		{"no limit any more", &v1.ResourceRequirements{Requests: amounts("1", "1Gi")}, "spec.resources.limits: Forbidden: pod-level resource limits cannot be removed"},
		{"nothing any more", nil, "spec.resources: Forbidden: pod-level resources cannot be removed"},
	} {
		errs := CheckChange(old, with(test.updated))
		if got := ""; len(errs) > 0 {
			if got = errs[0].Error(); got != test.want {
				t.Errorf("%s: got %q, want %q", test.why, got, test.want)
			}
		} else if test.want != "" {
			t.Errorf("%s: no complaint, want %q", test.why, test.want)
		}
	}
}

func TestChanged(t *testing.T) {
	old := changeable()
	old.Spec.EphemeralContainers = []v1.EphemeralContainer{{EphemeralContainerCommon: v1.EphemeralContainerCommon{Name: "debug"}}}
	for _, test := range []struct {
		why        string
		change     func(*v1.Pod)
		generation int64
	}{
		{"nothing", func(*v1.Pod) {}, 3},
		{"labels, which are no part of the spec", func(p *v1.Pod) { p.Labels = nil }, 3},
		{"the spec", func(p *v1.Pod) { p.Spec.Containers[0].Image = "a:2" }, 4},
	} {
		updated := changeable()
		updated.UID, updated.Generation = "other", 1 // as given by a new up
		test.change(updated)
		got := Changed(old, updated)
		if got.Generation != test.generation || got.UID != "uid" || len(got.Spec.EphemeralContainers) != 1 {
			t.Errorf("%s: got generation %d of %s with %d ephemeral containers", test.why, got.Generation, got.UID, len(got.Spec.EphemeralContainers))
		}
		if d := Differences(updated, got); len(d) > 0 {
			t.Errorf("%s: it still differs from the manifest: %v", test.why, d)
		}
	}
}

// What means nothing here is no change: `get pod -o yaml` prints a pod's node.
func TestMeaninglessFieldsAreNoChange(t *testing.T) {
	old := changeable()
	updated := old.DeepCopy()
	updated.Spec.NodeName, updated.Spec.SchedulerName, updated.Spec.ServiceAccountName = "node", "other", "robot"
	updated.Spec.Priority, updated.Spec.NodeSelector = ptr(int32(1)), map[string]string{"disk": "ssd"}
	if errs, diff := CheckChange(old, updated), Differences(old, updated); len(errs)+len(diff) > 0 {
		t.Errorf("got %v and %v", errs, diff)
	}
}
