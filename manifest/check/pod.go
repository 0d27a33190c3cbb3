package check

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateNames checks the names that a Pod goes by, and gives others.
func validateNames(spec *v1.PodSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if spec.Hostname != "" {
		errs = append(errs, invalid(path.Child("hostname"), spec.Hostname, validation.IsDNS1123Label(spec.Hostname))...)
	}
	if spec.Subdomain != "" {
		errs = append(errs, invalid(path.Child("subdomain"), spec.Subdomain, validation.IsDNS1123Label(spec.Subdomain))...)
	}
	if name := spec.HostnameOverride; name != nil {
		at := path.Child("hostnameOverride")
		if isTrue(spec.SetHostnameAsFQDN) {
			errs = append(errs, field.Forbidden(at, "may not be specified when setHostnameAsFQDN is true"))
		}
		if spec.HostNetwork {
			errs = append(errs, field.Forbidden(at, "may not be specified when hostNetwork is true"))
		}
		if len(*name) > 64 { // what the kernel takes
			errs = append(errs, field.TooLong(at, "", 64))
		}
		errs = append(errs, invalid(at, *name, validation.IsDNS1123Subdomain(*name))...)
	}
	for i, alias := range spec.HostAliases {
		at := path.Child("hostAliases").Index(i)
		errs = append(errs, validateIP(at.Child("ip"), alias.IP)...)
		for j, name := range alias.Hostnames {
			errs = append(errs, invalid(at.Child("hostnames").Index(j), name, validation.IsDNS1123Subdomain(name))...)
		}
	}
	if name := spec.ServiceAccountName; name != "" {
		errs = append(errs, invalid(path.Child("serviceAccountName"), name, apivalidation.NameIsDNSSubdomain(name, false))...)
	}
	if spec.OS != nil {
		errs = append(errs, validateOS(spec.OS.Name, path.Child("os"))...)
	}
	return errs
}

func validateOS(name v1.OSName, path *field.Path) field.ErrorList {
	switch name {
	case v1.Linux:
		return nil
	case "":
		return field.ErrorList{field.Required(path.Child("name"), "")}
	case v1.Windows:
		return field.ErrorList{notHere(path.Child("name"), name, `containers run on this machine's kernel, "windows" is not it`)}
	}
	return placeAt(path.Child("name"), oneOf(path, name, v1.Linux, v1.Windows))
}

// validateIP refuses what has been read in different ways: leading zeros, IPv4 in IPv6.
func validateIP(path *field.Path, ip string) field.ErrorList {
	const strict = true // the feature gate StrictIPCIDRValidation is on
	return validation.IsValidIPForLegacyField(path, ip, strict, nil)
}

// What a resolver takes (MaxDNSNameservers and others upstream).
const (
	maxNameservers  = 3
	maxSearches     = 32
	maxSearchLength = 2048
)

func validateDNS(spec *v1.PodSpec, path *field.Path) field.ErrorList {
	errs := oneOf(path.Child("dnsPolicy"), spec.DNSPolicy, v1.DNSClusterFirstWithHostNet, v1.DNSClusterFirst, v1.DNSDefault, v1.DNSNone)
	c, at := spec.DNSConfig, path.Child("dnsConfig")
	if spec.DNSPolicy == v1.DNSNone {
		switch {
		case c == nil:
			return append(errs, field.Required(at, "must provide `dnsConfig` when `dnsPolicy` is None"))
		case len(c.Nameservers) == 0:
			return append(errs, field.Required(at.Child("nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None"))
		}
	}
	if c == nil {
		return errs
	}
	if len(c.Nameservers) > maxNameservers {
		errs = append(errs, field.Invalid(at.Child("nameservers"), c.Nameservers, fmt.Sprintf("must not have more than %d nameservers", maxNameservers)))
	}
	for i, ip := range c.Nameservers {
		errs = append(errs, validateIP(at.Child("nameservers").Index(i), ip)...)
	}
	if len(c.Searches) > maxSearches {
		errs = append(errs, field.Invalid(at.Child("searches"), c.Searches, fmt.Sprintf("must not have more than %d search paths", maxSearches)))
	}
	if len(strings.Join(c.Searches, " ")) > maxSearchLength {
		errs = append(errs, field.Invalid(at.Child("searches"), c.Searches, fmt.Sprintf("must not have more than %d characters (including spaces) in the search list", maxSearchLength)))
	}
	for i, search := range c.Searches {
		if search != "." {
			search = strings.TrimSuffix(search, ".")
			errs = append(errs, invalid(at.Child("searches").Index(i), search, validation.IsDNS1123SubdomainWithUnderscore(search))...)
		}
	}
	for i, option := range c.Options {
		if option.Name == "" {
			errs = append(errs, field.Required(at.Child("options").Index(i), "must not be empty"))
		}
	}
	return errs
}

// validateNamespaces checks which namespaces of the machine a Pod may share together.
func validateNamespaces(spec *v1.PodSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if isTrue(spec.ShareProcessNamespace) && spec.HostPID {
		errs = append(errs, placeAt(path.Child("shareProcessNamespace"), field.ErrorList{field.Invalid(path.Child("securityContext", "shareProcessNamespace"), true,
			"ShareProcessNamespace and HostPID cannot both be enabled")})...)
	}
	if spec.HostUsers == nil || *spec.HostUsers {
		return errs
	}
	const text = "when `hostUsers` is false"
	if spec.HostNetwork {
		errs = append(errs, field.Forbidden(path.Child("hostNetwork"), text))
	}
	if spec.HostPID {
		errs = append(errs, placeAt(path.Child("hostPID"), field.ErrorList{field.Forbidden(path.Child("HostPID"), text)})...)
	}
	if spec.HostIPC {
		errs = append(errs, placeAt(path.Child("hostIPC"), field.ErrorList{field.Forbidden(path.Child("HostIPC"), text)})...)
	}
	return errs
}
