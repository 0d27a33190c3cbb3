package check

import (
	"fmt"
	"net/netip"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateContainers(spec *v1.PodSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(spec.Containers) == 0 {
		errs = append(errs, field.Required(path.Child("containers"), "a Pod has at least one container"))
	}
	volumes := map[string]bool{}
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
	}
	names := map[string]bool{}
	for _, list := range []struct {
		name       string
		containers []v1.Container
	}{{"initContainers", spec.InitContainers}, {"containers", spec.Containers}} {
		hostPorts := map[string]bool{} // init containers and containers never run at the same time
		for i := range list.containers {
			c, at := &list.containers[i], path.Child(list.name).Index(i)
			if names[c.Name] && c.Name != "" {
				errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
			}
			names[c.Name] = true
			errs = append(errs, validateContainer(c, volumes, at)...)
			errs = append(errs, validateHostPorts(c.Ports, spec.HostNetwork, hostPorts, at.Child("ports"))...)
			errs = append(errs, validateRestarts(c, at)...)
			if list.name == "initContainers" && !isSidecar(c) {
				errs = append(errs, noProbes(c, at)...)
			} else {
				errs = append(errs, validateProbes(c, at)...)
			}
		}
	}
	return errs
}

func validateContainer(c *v1.Container, volumes map[string]bool, path *field.Path) field.ErrorList {
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
	errs = append(errs, validateMounts(c.VolumeMounts, volumes, path.Child("volumeMounts"))...)
	return append(errs, validateContainerSecurity(c.SecurityContext, path.Child("securityContext"))...)
}

func validatePorts(ports []v1.ContainerPort, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i, p := range ports {
		at := path.Index(i)
		if p.Name != "" {
			errs = append(errs, invalid(at.Child("name"), p.Name, validation.IsValidPortName(p.Name))...)
			if names[p.Name] {
				errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
			}
			names[p.Name] = true
		}
		if p.ContainerPort == 0 {
			errs = append(errs, field.Required(at.Child("containerPort"), ""))
		} else {
			errs = append(errs, invalid(at.Child("containerPort"), p.ContainerPort, validation.IsValidPortNum(int(p.ContainerPort)))...)
		}
		if p.HostPort != 0 && p.HostPort != p.ContainerPort { // equal ones are complained of once
			errs = append(errs, invalid(at.Child("hostPort"), p.HostPort, validation.IsValidPortNum(int(p.HostPort)))...)
		}
		if p.HostIP != "" {
			if _, err := netip.ParseAddr(p.HostIP); err != nil {
				errs = append(errs, field.Invalid(at.Child("hostIP"), p.HostIP, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"))
			}
		}
		errs = append(errs, oneOf(at.Child("protocol"), p.Protocol, v1.ProtocolTCP, v1.ProtocolUDP)...)
	}
	return errs
}

// validateHostPorts complains of a host port that two containers want. taken holds those of the containers before.
func validateHostPorts(ports []v1.ContainerPort, hostNetwork bool, taken map[string]bool, path *field.Path) field.ErrorList {
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
		if hostNetwork && p.HostPort != p.ContainerPort {
			errs = append(errs, field.Invalid(path.Index(i).Child("hostPort"), p.HostPort, "must match `containerPort` when `hostNetwork` is true"))
		}
	}
	return errs
}

// validateResources knows cpu and memory: podrun has no other resource to give.
func validateResources(r *v1.ResourceRequirements, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	known := func(list v1.ResourceList, path *field.Path) {
		for name, q := range list {
			at := path.Key(string(name))
			if !strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix) {
				errs = append(errs, oneOf(at, name, v1.ResourceCPU, v1.ResourceMemory, v1.ResourceEphemeralStorage)...)
			}
			if q.Sign() < 0 {
				errs = append(errs, field.Invalid(at, q.String(), "must be greater than or equal to 0"))
			}
		}
	}
	known(r.Limits, path.Child("limits"))
	known(r.Requests, path.Child("requests"))
	for name, request := range r.Requests {
		if limit, limited := r.Limits[name]; limited && request.Cmp(limit) > 0 {
			errs = append(errs, field.Invalid(path.Child("requests").Key(string(name)), request.String(),
				fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String())))
		}
	}
	return errs
}

func validatePodSecurity(s *v1.PodSecurityContext, path *field.Path) field.ErrorList {
	errs := validateIdentity(s.RunAsUser, s.RunAsGroup, path)
	for i, gid := range s.SupplementalGroups {
		errs = append(errs, invalid(path.Child("supplementalGroups").Index(i), gid, validation.IsValidGroupID(gid))...)
	}
	if s.FSGroup != nil {
		errs = append(errs, invalid(path.Child("fsGroup"), *s.FSGroup, validation.IsValidGroupID(*s.FSGroup))...)
	}
	if s.FSGroupChangePolicy != nil {
		errs = append(errs, oneOf(path.Child("fsGroupChangePolicy"), *s.FSGroupChangePolicy, v1.FSGroupChangeOnRootMismatch, v1.FSGroupChangeAlways)...)
	}
	if s.SupplementalGroupsPolicy != nil {
		errs = append(errs, oneOf(path.Child("supplementalGroupsPolicy"), *s.SupplementalGroupsPolicy, v1.SupplementalGroupsPolicyMerge, v1.SupplementalGroupsPolicyStrict)...)
	}
	return append(errs, validateSeccomp(s.SeccompProfile, path.Child("seccompProfile"))...)
}

func validateContainerSecurity(s *v1.SecurityContext, path *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	errs := validateIdentity(s.RunAsUser, s.RunAsGroup, path)
	errs = append(errs, validateSeccomp(s.SeccompProfile, path.Child("seccompProfile"))...)
	if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation {
		return errs
	}
	at := path.Child("allowPrivilegeEscalation")
	if s.Privileged != nil && *s.Privileged {
		errs = append(errs, field.Invalid(at, false, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"))
	}
	if s.Capabilities != nil {
		for _, c := range s.Capabilities.Add {
			if c == "CAP_SYS_ADMIN" {
				errs = append(errs, field.Invalid(at, false, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"))
			}
		}
	}
	return errs
}

func validateIdentity(user, group *int64, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if user != nil {
		errs = append(errs, invalid(path.Child("runAsUser"), *user, validation.IsValidUserID(*user))...)
	}
	if group != nil {
		errs = append(errs, invalid(path.Child("runAsGroup"), *group, validation.IsValidGroupID(*group))...)
	}
	return errs
}

func validateSeccomp(s *v1.SeccompProfile, path *field.Path) field.ErrorList {
	switch {
	case s == nil:
		return nil
	case s.Type == "":
		return field.ErrorList{field.Required(path.Child("type"), "type is required when seccompProfile is set")}
	}
	return append(validateSeccompFile(s, path.Child("localhostProfile")),
		oneOf(path.Child("type"), s.Type, v1.SeccompProfileTypeLocalhost, v1.SeccompProfileTypeRuntimeDefault, v1.SeccompProfileTypeUnconfined)...)
}

func validateSeccompFile(s *v1.SeccompProfile, path *field.Path) field.ErrorList {
	switch {
	case s.Type == v1.SeccompProfileTypeLocalhost && s.LocalhostProfile == nil:
		return field.ErrorList{field.Required(path, "must be set when seccomp type is Localhost")}
	case s.Type == v1.SeccompProfileTypeLocalhost:
		return descending(path, *s.LocalhostProfile)
	case s.LocalhostProfile != nil:
		return field.ErrorList{field.Invalid(path, s, "can only be set when seccomp type is Localhost")}
	}
	return nil
}
