package check

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-helpers/node/util/sysctl"
)

func validatePodSecurity(spec *v1.PodSpec, path *field.Path) field.ErrorList {
	s := spec.SecurityContext
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
	if s.SELinuxChangePolicy != nil {
		errs = append(errs, oneOf(path.Child("seLinuxChangePolicy"), *s.SELinuxChangePolicy, v1.SELinuxChangePolicyRecursive)...)
	}
	errs = append(errs, validateSysctls(spec, path.Child("sysctls"))...)
	errs = append(errs, validateAppArmor(s.AppArmorProfile, path.Child("appArmorProfile"))...)
	return append(errs, validateSeccomp(s.SeccompProfile, path.Child("seccompProfile"))...)
}

func validateContainerSecurity(s *v1.SecurityContext, hostUsers bool, path *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	errs := validateIdentity(s.RunAsUser, s.RunAsGroup, path)
	errs = append(errs, validateSeccomp(s.SeccompProfile, path.Child("seccompProfile"))...)
	errs = append(errs, validateAppArmor(s.AppArmorProfile, path.Child("appArmorProfile"))...)
	if p := s.ProcMount; p != nil {
		errs = append(errs, oneOf(path.Child("procMount"), *p, v1.DefaultProcMount, v1.UnmaskedProcMount)...)
		if *p == v1.UnmaskedProcMount && hostUsers {
			errs = append(errs, field.Invalid(path.Child("procMount"), *p, "`hostUsers` must be false to use `Unmasked`"))
		}
	}
	if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation {
		return errs
	}
	contradiction := func(text string) {
		errs = append(errs, placeAt(path.Child("allowPrivilegeEscalation"), field.ErrorList{field.Invalid(path, false, text)})...)
	}
	if isTrue(s.Privileged) {
		contradiction("cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
	}
	if s.Capabilities != nil {
		for _, c := range s.Capabilities.Add {
			if c == "CAP_SYS_ADMIN" { // the name without CAP_ means the same, but is taken upstream
				contradiction("cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN")
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
	if s == nil {
		return nil
	}
	errs := requiredOf(path.Child("type"), s.Type, v1.SeccompProfileTypeLocalhost, v1.SeccompProfileTypeRuntimeDefault, v1.SeccompProfileTypeUnconfined)
	at := path.Child("localhostProfile")
	switch {
	case s.Type == v1.SeccompProfileTypeLocalhost && s.LocalhostProfile == nil:
		errs = append(errs, field.Required(at, "must be set when seccomp type is Localhost"))
	case s.Type == v1.SeccompProfileTypeLocalhost:
		errs = append(errs, descending(at, *s.LocalhostProfile)...)
	case s.LocalhostProfile != nil:
		errs = append(errs, field.Invalid(at, *s.LocalhostProfile, "can only be set when seccomp type is Localhost"))
	}
	return errs
}

func validateAppArmor(p *v1.AppArmorProfile, path *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := requiredOf(path.Child("type"), p.Type, v1.AppArmorProfileTypeLocalhost, v1.AppArmorProfileTypeRuntimeDefault, v1.AppArmorProfileTypeUnconfined)
	at := path.Child("localhostProfile")
	switch name := p.LocalhostProfile; {
	case p.Type != v1.AppArmorProfileTypeLocalhost:
		if name != nil && len(errs) == 0 {
			errs = append(errs, field.Invalid(at, *name, "can only be set when AppArmor type is Localhost"))
		}
	case name == nil || *name == "":
		errs = append(errs, field.Required(at, "must be set when AppArmor type is Localhost"))
	default:
		if strings.TrimSpace(*name) != *name {
			errs = append(errs, field.Invalid(at, *name, "must not be padded with whitespace"))
		}
		if len(*name) >= 4096 { // PATH_MAX
			errs = append(errs, field.TooLong(at, "", 4095))
		}
	}
	return errs
}

// sysctlName is a name of segments with dots or slashes between them (SysctlContainSlashFmt upstream).
var sysctlName = sync.OnceValue(func() *regexp.Regexp {
	const segment = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
	return regexp.MustCompile("^(" + segment + `[\./])*` + segment + "$")
})

func validateSysctls(spec *v1.PodSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i, s := range spec.SecurityContext.Sysctls {
		at := path.Index(i).Child("name")
		switch {
		case s.Name == "":
			errs = append(errs, field.Required(at, ""))
		case len(s.Name) > 253 || !sysctlName().MatchString(s.Name):
			errs = append(errs, field.Invalid(at, s.Name, fmt.Sprintf("must have at most 253 characters and match regex %s", sysctlName())))
		case names[s.Name]:
			errs = append(errs, field.Duplicate(at, s.Name))
		}
		names[s.Name] = true
		switch namespace, _, _ := sysctl.GetNamespace(s.Name); {
		case namespace == sysctl.NetNamespace && spec.HostNetwork:
			errs = append(errs, field.Invalid(at, s.Name, "may not be specified when 'hostNetwork' is true"))
		case namespace == sysctl.IPCNamespace && spec.HostIPC:
			errs = append(errs, field.Invalid(at, s.Name, "may not be specified when 'hostIPC' is true"))
		}
	}
	return errs
}
