package runtime

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/runc/libcontainer/apparmor"
	"github.com/opencontainers/runc/libcontainer/configs"
	selinux "github.com/opencontainers/selinux/go-selinux"
	"github.com/opencontainers/selinux/go-selinux/label"
	v1 "k8s.io/api/core/v1"
)

// appArmorProfile is the container's: its own field, its annotation from before
// there were fields, or the pod's field (kubelet, apparmor.GetProfile).
func appArmorProfile(p *v1.Pod, c *v1.Container) *v1.AppArmorProfile {
	if c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil {
		return c.SecurityContext.AppArmorProfile
	}
	if said := annotatedProfile(p, c); said != nil {
		return said
	}
	if p.Spec.SecurityContext != nil {
		return p.Spec.SecurityContext.AppArmorProfile
	}
	return nil
}

func annotatedProfile(p *v1.Pod, c *v1.Container) *v1.AppArmorProfile {
	value, ok := p.Annotations[v1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+c.Name]
	local, isLocal := strings.CutPrefix(value, v1.DeprecatedAppArmorBetaProfileNamePrefix)
	switch {
	case !ok:
		return nil
	case value == v1.DeprecatedAppArmorBetaProfileRuntimeDefault:
		return &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeRuntimeDefault}
	case value == v1.DeprecatedAppArmorBetaProfileNameUnconfined:
		return &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeUnconfined}
	case isLocal:
		return &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeLocalhost, LocalhostProfile: &local}
	}
	return nil // validation refuses it
}

// seLinuxOptions are the container's, or the pod's where it has none.
func seLinuxOptions(p *v1.Pod, c *v1.Container) *v1.SELinuxOptions {
	if c.SecurityContext != nil && c.SecurityContext.SELinuxOptions != nil {
		return c.SecurityContext.SELinuxOptions
	}
	if p.Spec.SecurityContext != nil {
		return p.Spec.SecurityContext.SELinuxOptions
	}
	return nil
}

// confine puts the container under the security modules that it asks for.
// What enters it later is under the same.
func (s *Spec) confine(config *configs.Config, sc v1.SecurityContext) (err error) {
	if wanted := appArmorProfile(s.Pod, s.Container); wanted != nil {
		if config.AppArmorProfile, err = appArmorName(wanted, isTrue(sc.Privileged), loadedProfiles); err != nil {
			return err
		}
	}
	if wanted := seLinuxOptions(s.Pod, s.Container); wanted != nil && selinux.GetEnabled() {
		if config.ProcessLabel, config.MountLabel, err = label.InitLabels(labelOptions(wanted)); err != nil {
			return &ConfigError{fmt.Sprintf("seLinuxOptions: %v", err)}
		}
	}
	return nil
}

func labelOptions(o *v1.SELinuxOptions) []string {
	var list []string
	for _, part := range [][2]string{{"user", o.User}, {"role", o.Role}, {"type", o.Type}, {"level", o.Level}} {
		if part[1] != "" {
			list = append(list, part[0]+":"+part[1])
		}
	}
	return list
}

// defaultProfiles are the names of a RuntimeDefault profile for AppArmor: podrun
// loads none by itself, and uses the first of these that the machine has loaded.
var defaultProfiles = []string{"podrun-default", "cri-containerd.apparmor.d", "containers-default", "docker-default"}

// appArmorName is the profile to enter, empty for none. RuntimeDefault is nothing
// to a privileged container (containerd, GenerateApparmorSpecOpts).
func appArmorName(wanted *v1.AppArmorProfile, privileged bool, loaded func() (map[string]bool, error)) (string, error) {
	if wanted.Type == v1.AppArmorProfileTypeUnconfined || wanted.Type == v1.AppArmorProfileTypeRuntimeDefault && privileged {
		return "", nil
	}
	known, err := loaded()
	if err != nil {
		return "", fmt.Errorf("read the AppArmor profiles of the machine: %w", err)
	}
	if wanted.Type == v1.AppArmorProfileTypeLocalhost {
		var name string
		if wanted.LocalhostProfile != nil {
			name = *wanted.LocalhostProfile
		}
		if !known[name] {
			return "", fmt.Errorf("apparmor profile not found %s: load it with apparmor_parser", name)
		}
		return name, nil
	}
	for _, name := range defaultProfiles {
		if known[name] {
			return name, nil
		}
	}
	return "", fmt.Errorf("no AppArmor profile is loaded for RuntimeDefault: load one named %s", strings.Join(defaultProfiles, ", "))
}

// loadedProfiles are the names in lines such as "docker-default (enforce)".
func loadedProfiles() (map[string]bool, error) {
	f, err := os.Open("/sys/kernel/security/apparmor/profiles")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names := map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if i := strings.LastIndex(lines.Text(), " ("); i > 0 {
			names[lines.Text()[:i]] = true
		}
	}
	return names, lines.Err()
}

// ErrAppArmor begins with the reason and the message of a kubelet that rejects a
// pod on a machine without AppArmor.
var ErrAppArmor = errors.New("AppArmor: Cannot enforce AppArmor: AppArmor is not enabled on the host")

// ErrSELinux: the machine has no SELinux. A kubelet would run the pod all the same,
// without what it asks for.
var ErrSELinux = errors.New("SELinux is not enabled on this machine")

// CheckModules refuses a pod that asks for a security module that the machine does
// not have. notes name what is asked for and makes no difference.
func CheckModules(p *v1.Pod) (notes []string, err error) {
	return checkModules(p, apparmor.IsEnabled, selinux.GetEnabled)
}

func checkModules(p *v1.Pod, hasAppArmor, hasSELinux func() bool) (notes []string, err error) {
	var errs []error
	for _, f := range confinements(p) {
		switch {
		case f.appArmor != nil && f.appArmor.Type != v1.AppArmorProfileTypeUnconfined && !hasAppArmor():
			errs = append(errs, fmt.Errorf("%s: %w; leave it out or say Unconfined, or boot a kernel with apparmor in its list of security modules", f.path, ErrAppArmor))
		case f.seLinux == nil || *f.seLinux == v1.SELinuxOptions{} || hasSELinux():
		case *f.seLinux == v1.SELinuxOptions{Level: "s0"}:
			notes = append(notes, f.path+": SELinux is not enabled on this machine, and s0 is the level of everything")
		default:
			errs = append(errs, fmt.Errorf("%s: %w; leave it out, or boot a kernel with selinux in its list of security modules", f.path, ErrSELinux))
		}
	}
	return notes, errors.Join(errs...)
}

// confinement is one place of a manifest that asks for a security module.
type confinement struct {
	path     string
	appArmor *v1.AppArmorProfile
	seLinux  *v1.SELinuxOptions
}

func confinements(p *v1.Pod) []confinement {
	var all []confinement
	if sc := p.Spec.SecurityContext; sc != nil {
		all = append(all,
			confinement{path: "spec.securityContext.appArmorProfile", appArmor: sc.AppArmorProfile},
			confinement{path: "spec.securityContext.seLinuxOptions", seLinux: sc.SELinuxOptions})
	}
	for n, list := range [][]v1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		name := []string{"initContainers", "containers"}[n]
		for i := range list {
			c := &list[i]
			all = append(all, confinement{
				path:     "metadata.annotations[" + v1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix + c.Name + "]",
				appArmor: annotatedProfile(p, c),
			})
			if sc := c.SecurityContext; sc != nil {
				at := fmt.Sprintf("spec.%s[%d].securityContext.", name, i)
				all = append(all,
					confinement{path: at + "appArmorProfile", appArmor: sc.AppArmorProfile},
					confinement{path: at + "seLinuxOptions", seLinux: sc.SELinuxOptions})
			}
		}
	}
	return all
}
