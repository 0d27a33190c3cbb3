package check

import (
	"fmt"
	"net/netip"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// eachContainer visits the containers of a Pod of every kind, with their paths.
func eachContainer(spec *v1.PodSpec, path *field.Path, visit func(*v1.Container, *field.Path)) {
	for i := range spec.InitContainers {
		visit(&spec.InitContainers[i], path.Child("initContainers").Index(i))
	}
	for i := range spec.Containers {
		visit(&spec.Containers[i], path.Child("containers").Index(i))
	}
	for i := range spec.EphemeralContainers {
		visit((*v1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon), path.Child("ephemeralContainers").Index(i))
	}
}

// surroundings are what a container is checked against.
type surroundings struct {
	spec    *v1.PodSpec
	volumes map[string]bool // that are sound themselves
}

func (s *surroundings) hostUsers() bool { return s.spec.HostUsers == nil || *s.spec.HostUsers }

func validateContainers(pod *v1.Pod, path *field.Path) field.ErrorList {
	spec := &pod.Spec
	s := &surroundings{spec, soundVolumes(pod)}
	var errs field.ErrorList
	if len(spec.Containers) == 0 {
		errs = append(errs, field.Required(path.Child("containers"), "a Pod has at least one container"))
	}
	names, hostPorts := map[string]bool{}, map[string]bool{}
	for i := range spec.Containers {
		c, at := &spec.Containers[i], path.Child("containers").Index(i)
		errs = append(errs, validateContainer(c, s, at)...)
		errs = append(errs, uniqueName(c.Name, names, at)...)
		errs = append(errs, validateStaying(c, spec, at)...)
		errs = append(errs, validateRestarts(c, at)...)
		errs = append(errs, validateHostPorts(c.Ports, hostPorts, at.Child("ports"))...)
		for j, p := range c.Ports {
			if spec.HostNetwork && p.HostPort != p.ContainerPort {
				errs = append(errs, field.Invalid(at.Child("ports").Index(j).Child("hostPort"), p.HostPort, "must match `containerPort` when `hostNetwork` is true"))
			}
		}
	}
	for i := range spec.InitContainers {
		c, at := &spec.InitContainers[i], path.Child("initContainers").Index(i)
		errs = append(errs, validateContainer(c, s, at)...)
		errs = append(errs, validateInitContainer(c, spec, at)...)
		errs = append(errs, uniqueName(c.Name, names, at)...)
		// They run one by one: each has the ports for itself. Upstream counts it as the first.
		alone := path.Child("initContainers").Index(0).Child("ports")
		for _, e := range validateHostPorts(c.Ports, map[string]bool{}, alone) {
			e.Origin = placed + at.String() + strings.TrimPrefix(e.Field, path.Child("initContainers").Index(0).String())
			errs = append(errs, e)
		}
	}
	return append(errs, validateEphemeral(s, names, path)...)
}

// uniqueName complains of a name that a container before has. Names in taken are those before, of all kinds.
func uniqueName(name string, taken map[string]bool, path *field.Path) field.ErrorList {
	if taken[name] {
		return field.ErrorList{field.Duplicate(path.Child("name"), name)}
	}
	taken[name] = true
	return nil
}

// validateInitContainer checks what only a sidecar may have: other init containers end before anybody could ask them.
func validateInitContainer(c *v1.Container, spec *v1.PodSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if c.RestartPolicy == nil {
		if len(c.RestartPolicyRules) > 0 {
			errs = append(errs, field.Required(path.Child("restartPolicy"), "must specify restartPolicy when restart rules are used"))
		}
	} else if isSidecar(c) {
		return append(validateRestarts(c, path), validateStaying(c, spec, path)...)
	} else {
		errs = append(errs, validateRestarts(c, path)...)
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"lifecycle", hasHooks(c)},
		{"livenessProbe", c.LivenessProbe != nil},
		{"readinessProbe", c.ReadinessProbe != nil},
		{"startupProbe", c.StartupProbe != nil},
	} {
		if f.set {
			errs = append(errs, field.Forbidden(path.Child(f.name), "may not be set for init containers without restartPolicy=Always"))
		}
	}
	for i, p := range c.ResizePolicy {
		if p.RestartPolicy == v1.RestartContainer {
			errs = append(errs, field.Invalid(path.Child("resizePolicy").Index(i).Child("restartPolicy"), p.RestartPolicy, "must not be set to 'RestartContainer' for non-sidecar initContainers"))
		}
	}
	return errs
}

// validateEphemeral checks containers that are added to a Pod: no part of what a manifest may describe, but complained of
// in full, as upstream does. names are those of the containers before.
func validateEphemeral(s *surroundings, names map[string]bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	others := map[string]bool{}
	for name := range names {
		others[name] = true
	}
	for i := range s.spec.EphemeralContainers {
		e, at := &s.spec.EphemeralContainers[i], path.Child("ephemeralContainers").Index(i)
		c := (*v1.Container)(&e.EphemeralContainerCommon)
		errs = append(errs, validateContainer(c, s, at)...)
		errs = append(errs, uniqueName(c.Name, names, at)...)
		if e.TargetContainerName != "" && !others[e.TargetContainerName] {
			errs = append(errs, field.NotFound(at.Child("targetContainerName"), e.TargetContainerName))
		}
		for _, f := range []struct {
			name string
			set  bool
		}{
			{"ports", c.Ports != nil}, {"lifecycle", hasHooks(c)},
			{"livenessProbe", c.LivenessProbe != nil}, {"readinessProbe", c.ReadinessProbe != nil}, {"startupProbe", c.StartupProbe != nil},
			{"resources", c.Resources.Limits != nil || c.Resources.Requests != nil || c.Resources.Claims != nil},
			{"resizePolicy", c.ResizePolicy != nil}, {"restartPolicy", c.RestartPolicy != nil}, {"restartPolicyRules", c.RestartPolicyRules != nil},
		} {
			if f.set {
				errs = append(errs, field.Forbidden(at.Child(f.name), "cannot be set for an Ephemeral Container"))
			}
		}
		for j, m := range c.VolumeMounts {
			if m.SubPath != "" {
				errs = append(errs, field.Forbidden(at.Child("volumeMounts").Index(j).Child("subPath"), "cannot be set for an Ephemeral Container"))
			}
			if m.SubPathExpr != "" {
				errs = append(errs, field.Forbidden(at.Child("volumeMounts").Index(j).Child("subPathExpr"), "cannot be set for an Ephemeral Container"))
			}
		}
	}
	return errs
}

// validateContainer checks what all kinds of containers have.
func validateContainer(c *v1.Container, s *surroundings, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if c.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), ""))
	} else {
		errs = append(errs, invalid(path.Child("name"), c.Name, validation.IsDNS1123Label(c.Name))...)
	}
	switch {
	case c.Image == "":
		errs = append(errs, field.Required(path.Child("image"), ""))
	case strings.TrimSpace(c.Image) != c.Image:
		errs = append(errs, field.Invalid(path.Child("image"), c.Image, "must not have leading or trailing whitespace"))
	}
	errs = append(errs, oneOf(path.Child("imagePullPolicy"), c.ImagePullPolicy, v1.PullAlways, v1.PullIfNotPresent, v1.PullNever)...)
	errs = append(errs, oneOf(path.Child("terminationMessagePolicy"), c.TerminationMessagePolicy, v1.TerminationMessageFallbackToLogsOnError, v1.TerminationMessageReadFile)...)
	errs = append(errs, validatePorts(c.Ports, path.Child("ports"))...)
	errs = append(errs, validateEnv(c.Env, path.Child("env"))...)
	errs = append(errs, validateEnvFrom(c.EnvFrom, path.Child("envFrom"))...)
	errs = append(errs, validateResources(&c.Resources, path.Child("resources"))...)
	errs = append(errs, validateResizePolicy(c.ResizePolicy, s.spec.RestartPolicy, path.Child("resizePolicy"))...)
	errs = append(errs, validateMounts(c, s.volumes, path.Child("volumeMounts"))...)
	return append(errs, validateContainerSecurity(c.SecurityContext, s.hostUsers(), path.Child("securityContext"))...)
}

func validatePorts(ports []v1.ContainerPort, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i, p := range ports {
		at := path.Index(i)
		if p.Name != "" {
			why := validation.IsValidPortName(p.Name)
			errs = append(errs, invalid(at.Child("name"), p.Name, why)...)
			if names[p.Name] {
				errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
			}
			names[p.Name] = len(why) == 0
		}
		if p.ContainerPort == 0 {
			errs = append(errs, field.Required(at.Child("containerPort"), ""))
		} else {
			errs = append(errs, invalid(at.Child("containerPort"), p.ContainerPort, validation.IsValidPortNum(int(p.ContainerPort)))...)
		}
		if p.HostPort != 0 {
			errs = append(errs, invalid(at.Child("hostPort"), p.HostPort, validation.IsValidPortNum(int(p.HostPort)))...)
		}
		if p.HostIP != "" {
			if _, err := netip.ParseAddr(p.HostIP); err != nil {
				errs = append(errs, notHere(at.Child("hostIP"), p.HostIP, fmt.Sprintf("%q is no IP address, such as 127.0.0.1", p.HostIP)))
			}
		}
		errs = append(errs, oneOf(at.Child("protocol"), p.Protocol, v1.ProtocolTCP, v1.ProtocolUDP, v1.ProtocolSCTP)...)
	}
	return errs
}

// validateHostPorts complains of a host port that two containers want. taken holds those of the containers before.
func validateHostPorts(ports []v1.ContainerPort, taken map[string]bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, p := range ports {
		if p.HostPort == 0 {
			continue
		}
		key := fmt.Sprintf("%s/%s/%d", p.Protocol, p.HostIP, p.HostPort)
		if taken[key] {
			errs = append(errs, field.Duplicate(path.Index(i).Child("hostPort"), key))
		}
		taken[key] = true
	}
	return errs
}
