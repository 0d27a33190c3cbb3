package conformance

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// generator makes objects with random fields. Their values are mostly of the kind that the field wants, so that
// complaints come from a few places, and often from how fields go together.
type generator struct {
	*rand.Rand
	tame bool // only right values, and no rare fields
}

// words are values for strings by the field's name; a star stands for all other fields.
var words = map[string][]string{
	"name":                     {"a", "b", "web", "data", "net.core.somaxconn", "kernel.shmmax", "x.y/z", "A", "Bad_Name", "nofile"},
	"image":                    {"busybox", "nginx:1", " x"},
	"namespace":                {"prod", "", "Prod"},
	"mountPath":                {"/a", "/b", "/data", "rel"},
	"subPath":                  {"a", "a/b", "../x", "/abs"},
	"subPathExpr":              {"$(A)", "../x"},
	"path":                     {"/a", "a", "a/b", "..a", "../b", "b"},
	"key":                      {"a", "b", "x.y/z", "bad key", "metadata.name"},
	"operator":                 {"In", "NotIn", "Exists", "DoesNotExist", "Equal", "Gt", "Lt", "in"},
	"values":                   {"a", "1", "bad value"},
	"topologyKey":              {"zone", "host", "bad key"},
	"whenUnsatisfiable":        {"DoNotSchedule", "ScheduleAnyway", "Never"},
	"effect":                   {"NoSchedule", "NoExecute", "PreferNoSchedule", "None"},
	"fieldPath":                {"metadata.name", "metadata.labels['a']", "metadata.labels", "status.podIP", "spec.nodeName", "metadata.name['a']", "metadata.annotations['a b']", "nothing"},
	"resource":                 {"limits.cpu", "requests.memory", "limits.ephemeral-storage", "limits.hugepages-2Mi", "cpu"},
	"containerName":            {"a", "b"},
	"apiVersion":               {"v1", "", "v2"},
	"volumeName":               {"a", "b", "data"},
	"restartPolicy":            {"Always", "OnFailure", "Never", "NotRequired", "RestartContainer", "always"},
	"action":                   {"Restart", "RestartAllContainers", "Stop"},
	"resourceName":             {"cpu", "memory", "storage"},
	"type":                     {"RuntimeDefault", "Unconfined", "Localhost", "Directory", "File", "Socket", "Other"},
	"localhostProfile":         {"a/b", "../c", " d", ""},
	"protocol":                 {"TCP", "UDP", "tcp"},
	"hostIP":                   {"127.0.0.1", "::1"},
	"scheme":                   {"HTTP", "HTTPS", "ftp"},
	"ip":                       {"10.0.0.1", "::1", "010.0.0.1", "x"},
	"nameservers":              {"1.1.1.1", "::1", "x"},
	"searches":                 {"example.com", ".", "a_b.c", "bad domain"},
	"hostnames":                {"a.b", "A"},
	"mountPropagation":         {"None", "HostToContainer", "Bidirectional", "Both"},
	"recursiveReadOnly":        {"Enabled", "IfPossible", "Disabled", "No"},
	"medium":                   {"", "Memory"},
	"dnsPolicy":                {"ClusterFirst", "Default", "None", "ClusterFirstWithHostNet", "Own"},
	"imagePullPolicy":          {"Always", "IfNotPresent", "Never", "Sometimes"},
	"pullPolicy":               {"Always", "IfNotPresent", "Never", "Sometimes"},
	"stopSignal":               {"SIGTERM", "SIGRTMIN+3", "TERM"},
	"procMount":                {"Default", "Unmasked", "Own"},
	"add":                      {"NET_ADMIN", "CAP_SYS_ADMIN", "ALL"},
	"drop":                     {"ALL"},
	"accessModes":              {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteOncePod", "RWO"},
	"volumeMode":               {"Filesystem", "Own"},
	"fsGroupChangePolicy":      {"Always", "OnRootMismatch", "Never"},
	"claimName":                {"data", "web-a", "web-data"},
	"conditionType":            {"x.y/z", "ready", "bad type"},
	"preemptionPolicy":         {"Never", "PreemptLowerPriority", "x"},
	"nodeAffinityPolicy":       {"Honor", "Ignore", "x"},
	"nodeTaintsPolicy":         {"Honor", "Ignore", "x"},
	"matchLabelKeys":           {"a", "b", "bad key"},
	"mismatchLabelKeys":        {"a", "c"},
	"seLinuxChangePolicy":      {"Recursive", "MountOption", "x"},
	"labels":                   {"a", "bad value"},
	"terminationMessagePolicy": {"File", "FallbackToLogsOnError", "x"},
	"supplementalGroupsPolicy": {"Merge", "Strict", "x"},
	"*":                        {"a", "b", "x.y", "Bad Value", ""},
}

var (
	mapKeys    = []string{"a", "b", "x.y/z", "bad key"}
	quantities = []string{"0", "1", "2", "100m", "1Mi", "4Mi", "1Gi", "-1", "1.5"}
	resources  = []v1.ResourceName{"cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "storage", "example.com/x", "bad name", "pods", "requests.cpu"}
	numbers    = []int64{0, 1, 1, 2, 5, 10, 80, 80, 443, 1000, -1, 70000}
	kindsOfOne = map[reflect.Type]bool{
		reflect.TypeFor[v1.VolumeSource](): true, reflect.TypeFor[v1.ProbeHandler](): true, reflect.TypeFor[v1.LifecycleHandler](): true,
		reflect.TypeFor[v1.EnvVarSource](): true, reflect.TypeFor[v1.VolumeProjection](): true,
	}
)

// rare are fields that podrun refuses, or that hide others: they are set now and then.
var rare = map[string]bool{
	"windowsOptions": true, "resourceClaims": true, "claims": true, "schedulingGates": true, "runtimeClassName": true, "volumeDevices": true, "ephemeralContainers": true,
	"dataSource": true, "dataSourceRef": true, "serviceAccountToken": true, "clusterTrustBundle": true, "podCertificate": true, "os": true, "managedFields": true,
	"nfs": true, "iscsi": true, "cephfs": true, "csi": true, "fc": true, "flexVolume": true, "glusterfs": true, "rbd": true, "awsElasticBlockStore": true, "azureDisk": true,
	"azureFile": true, "cinder": true, "flocker": true, "gcePersistentDisk": true, "photonPersistentDisk": true, "portworxVolume": true, "quobyte": true, "scaleIO": true,
	"storageos": true, "vsphereVolume": true, "gitRepo": true, "affinity": true, "topologySpreadConstraints": true, "tolerations": true, "ownerReferences": true, "finalizers": true,
	"generateName": true, "overhead": true,
}

func pick[T any](g generator, list []T) T { return list[g.IntN(len(list))] }

// pod makes a Pod with a name and containers.
func (g generator) pod() []byte {
	p := &v1.Pod{}
	g.fill(reflect.ValueOf(&p.ObjectMeta).Elem(), "", 0)
	g.fill(reflect.ValueOf(&p.Spec).Elem(), "", 0)
	p.APIVersion, p.Kind = "v1", "Pod"
	p.Name, p.GenerateName = "web", ""
	if len(p.Spec.Containers) == 0 && g.IntN(10) > 0 {
		p.Spec.Containers = make([]v1.Container, 1)
		g.fill(reflect.ValueOf(&p.Spec.Containers[0]).Elem(), "", 1)
	}
	if g.tame {
		mend(&p.Spec)
	}
	for _, list := range [][]v1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range list {
			if list[i].Image == "" && g.IntN(10) > 0 {
				list[i].Image = "busybox"
			}
		}
	}
	data, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return data
}

// fill gives the value something that its type can hold; name is the field's.
func (g generator) fill(v reflect.Value, name string, depth int) {
	if g.fillKnown(v.Addr().Interface()) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		g.fillStruct(v, depth)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		g.fill(v.Elem(), name, depth)
	case reflect.Slice:
		g.fillSlice(v, name, depth)
	case reflect.Map:
		g.fillMap(v, name, depth)
	case reflect.String:
		v.SetString(g.word(name))
	case reflect.Bool:
		v.SetBool(g.IntN(2) == 0)
	case reflect.Int32, reflect.Int64, reflect.Int:
		if g.tame {
			v.SetInt(1)
			return
		}
		v.SetInt(pick(g, numbers))
	}
}

// fillKnown is fill of the types whose fields say little of what they mean; false of another.
func (g generator) fillKnown(v any) bool {
	switch x := v.(type) {
	case *resource.Quantity:
		*x = g.quantity()
	case *intstr.IntOrString:
		if *x = intstr.FromInt32(80); !g.tame {
			*x = pick(g, []intstr.IntOrString{intstr.FromInt32(80), intstr.FromInt32(0), intstr.FromString("http"), intstr.FromString("Bad")})
		}
	case *metav1.Time: // none
	case *v1.ResourceList:
		*x = v1.ResourceList{}
		known := resources
		if g.tame {
			known = known[:3]
		}
		for range g.IntN(3) {
			(*x)[pick(g, known)] = g.quantity()
		}
	default:
		return false
	}
	return true
}

func (g generator) quantity() resource.Quantity {
	if g.tame {
		return resource.MustParse("4Mi")
	}
	return resource.MustParse(pick(g, quantities))
}

func (g generator) fillSlice(v reflect.Value, name string, depth int) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return
	}
	length := 1 + g.IntN(2)
	if g.tame {
		length = 1 // two would have the same names
	}
	v.Set(reflect.MakeSlice(v.Type(), length, length))
	for i := range v.Len() {
		g.fill(v.Index(i), name, depth)
	}
}

func (g generator) fillMap(v reflect.Value, name string, depth int) {
	keys := mapKeys
	if g.tame {
		keys = keys[:2]
	}
	v.Set(reflect.MakeMap(v.Type()))
	for range 1 + g.IntN(2) {
		value := reflect.New(v.Type().Elem()).Elem()
		g.fill(value, name, depth)
		v.SetMapIndex(reflect.ValueOf(pick(g, keys)).Convert(v.Type().Key()), value)
	}
}

// word is a value for a string of the name.
func (g generator) word(name string) string {
	list := words[name]
	if list == nil {
		list = words["*"]
	}
	if g.tame {
		list = list[:1]
	} else if g.IntN(3) > 0 { // the first ones are right
		list = list[:(len(list)+1)/2]
	}
	return pick(g, list)
}

func (g generator) fillStruct(v reflect.Value, depth int) {
	only := -1
	if kindsOfOne[v.Type()] && g.IntN(10) > 0 {
		only = g.IntN(v.NumField())
		for rare[jsonName(v.Type().Field(only))] && g.IntN(20) > 0 {
			only = g.IntN(v.NumField())
		}
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := jsonName(f)
		chance := 100 / (3 + 2*depth) // of a field that is left out upstream: fewer the deeper
		if !strings.Contains(f.Tag.Get("json"), "omitempty") {
			chance = 95
		}
		switch {
		case only >= 0 && i != only:
			continue
		case only == i, name == "":
			chance = 100
		case rare[name] && g.tame:
			chance = 0
		case rare[name]:
			chance = 3
		}
		if g.IntN(100) < chance {
			g.fill(v.Field(i), name, depth+1)
		}
	}
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// mend makes the parts of a Pod go together that random ones seldom do.
func mend(s *v1.PodSpec) {
	s.EphemeralContainers, s.HostUsers, s.ShareProcessNamespace, s.HostnameOverride, s.SetHostnameAsFQDN = nil, nil, nil, nil, nil
	for i := range s.Volumes {
		s.Volumes[i].Name = string(rune('a' + i))
	}
	for i := range s.Containers {
		mendContainer(&s.Containers[i], s)
		s.Containers[i].Name = "main"
	}
	for i := range s.InitContainers {
		c := &s.InitContainers[i]
		mendContainer(c, s)
		c.Name, c.Lifecycle, c.LivenessProbe, c.ReadinessProbe, c.StartupProbe = "init", nil, nil, nil, nil
	}
	if s.Resources != nil {
		delete(s.Resources.Limits, v1.ResourceEphemeralStorage)
		delete(s.Resources.Requests, v1.ResourceEphemeralStorage)
	}
}

func mendContainer(c *v1.Container, s *v1.PodSpec) {
	c.Image = "busybox:1"
	if c.ResizePolicy != nil {
		c.ResizePolicy = []v1.ContainerResizePolicy{{ResourceName: v1.ResourceCPU, RestartPolicy: v1.NotRequired}}
	}
	if c.RestartPolicyRules != nil {
		always := v1.ContainerRestartPolicyOnFailure
		c.RestartPolicy = &always
		c.RestartPolicyRules = []v1.ContainerRestartRule{{Action: v1.ContainerRestartRuleActionRestart, ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: v1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{1}}}}
	}
	for i := range c.EnvFrom {
		c.EnvFrom[i].ConfigMapRef = &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "a"}}
		c.EnvFrom[i].SecretRef = nil
	}
	if len(s.Volumes) == 0 {
		c.VolumeMounts = nil
	}
	for i := range c.VolumeMounts {
		c.VolumeMounts[i].Name, c.VolumeMounts[i].MountPath, c.VolumeMounts[i].RecursiveReadOnly = s.Volumes[0].Name, "/a", nil
	}
	for _, p := range []*v1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if p != nil && (p.HTTPGet == nil && p.TCPSocket == nil && p.GRPC == nil) {
			p.Exec = &v1.ExecAction{Command: []string{"a"}}
		}
	}
	if c.ReadinessProbe != nil {
		c.ReadinessProbe.TerminationGracePeriodSeconds = nil
	}
}
