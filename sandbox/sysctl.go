package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/node/util/sysctl"

	"podrun/kernel"
	"podrun/step"
	"podrun/thread"
)

// safeSysctls belong to one pod alone and take nothing from others (kubelet,
// sysctl.SafeSysctlAllowlist), each from the version of Linux on that gives every
// namespace its own.
var safeSysctls = map[string]string{
	"kernel.shm_rmid_forced":              "",
	"net.ipv4.ip_local_port_range":        "",
	"net.ipv4.tcp_syncookies":             "",
	"net.ipv4.ping_group_range":           "",
	"net.ipv4.ip_unprivileged_port_start": "",
	"net.ipv4.ip_local_reserved_ports":    "3.16",
	"net.ipv4.tcp_keepalive_time":         "4.5",
	"net.ipv4.tcp_fin_timeout":            "4.6",
	"net.ipv4.tcp_keepalive_intvl":        "4.5",
	"net.ipv4.tcp_keepalive_probes":       "4.5",
	"net.ipv4.tcp_rmem":                   "4.15",
	"net.ipv4.tcp_wmem":                   "4.15",
}

// ForbiddenSysctl is one that the pod may not set here.
type ForbiddenSysctl struct {
	Name      string
	Allowable bool // the machine's owner could allow it
	text      string
}

// Error has the reason and the message of a kubelet that rejects the pod.
func (e *ForbiddenSysctl) Error() string { return "SysctlForbidden: forbidden sysctl: " + e.text }

// Sysctls are the settings that pods may ask for: the safe ones, and what the
// machine's owner allows besides.
type Sysctls struct {
	names    map[string]sysctl.Namespace
	prefixes map[string]sysctl.Namespace // of the patterns, which end with a *
}

// sysctlPattern is upstream's (pkg/apis/policy/validation, SysctlContainSlashPatternFmt).
var sysctlPattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]$`)
})

// AllowSysctls reads patterns such as kernel.msgmax and net.core.*, the kubelet's
// --allowed-unsafe-sysctls. Only what has a namespace can be allowed.
func AllowSysctls(patterns []string) (*Sysctls, error) {
	s := &Sysctls{names: map[string]sysctl.Namespace{}, prefixes: map[string]sysctl.Namespace{}}
	for name, since := range safeSysctls {
		if kernel.AtLeast(since) {
			s.names[name], _, _ = sysctl.GetNamespace(name)
		}
	}
	for _, p := range patterns {
		const longest = 253
		if len(p) > longest || !sysctlPattern().MatchString(p) {
			return nil, fmt.Errorf("%q is no name of a sysctl, such as kernel.msgmax, and no pattern, such as net.core.*", p)
		}
		namespace, name, prefixed := sysctl.GetNamespace(p)
		switch {
		case namespace == sysctl.UnknownNamespace:
			return nil, fmt.Errorf("the sysctls %q are not known to be namespaced", p)
		case prefixed:
			s.prefixes[name] = namespace
		default:
			s.names[name] = namespace
		}
	}
	return s, nil
}

// Check is the kubelet's admission of the pod's sysctls (sysctl, Admit). Its
// error is a *ForbiddenSysctl.
func (s *Sysctls) Check(p *v1.PodSpec) error {
	if p.SecurityContext == nil {
		return nil
	}
	for _, wanted := range p.SecurityContext.Sysctls {
		if err := s.check(sysctl.NormalizeName(wanted.Name), p); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sysctls) check(name string, p *v1.PodSpec) error {
	namespace, found := s.names[name]
	for prefix, of := range s.prefixes {
		if !found && strings.HasPrefix(name, prefix) {
			namespace, found = of, true
		}
	}
	switch {
	case !found:
		known, _, _ := sysctl.GetNamespace(name)
		return &ForbiddenSysctl{name, known != sysctl.UnknownNamespace, fmt.Sprintf("%q not allowlisted", name)}
	case namespace == sysctl.IPCNamespace && p.HostIPC, namespace == sysctl.NetNamespace && p.HostNetwork:
		return &ForbiddenSysctl{name, false, fmt.Sprintf("%q not allowed with host %s enabled", name, namespace)}
	}
	return nil
}

// SetSysctls writes the settings in the network and IPC namespaces of the pause
// process, where the given user of the machine is root. inNet calls a function in
// the network namespace at a path. It may be repeated.
func SetSysctls(pause, root int, wanted []v1.Sysctl, inNet func(path string, f func() error) error) error {
	defer step.Change("set sysctls")()
	groups := map[sysctl.Namespace][]v1.Sysctl{}
	for _, w := range wanted {
		namespace, name, _ := sysctl.GetNamespace(w.Name)
		groups[namespace] = append(groups[namespace], v1.Sysctl{Name: name, Value: w.Value})
	}
	var errs []error
	for namespace, list := range groups {
		set := func() error { return writeSysctls(list) }
		switch namespace {
		case sysctl.NetNamespace:
			errs = append(errs, inNet(NamespacePath(pause, "net"), set))
		case sysctl.IPCNamespace:
			errs = append(errs, inIPC(pause, root, set))
		default: // one on a record of another version of podrun
			errs = append(errs, fmt.Errorf("set sysctl %s: it is not known to be namespaced", list[0].Name))
		}
	}
	return errors.Join(errs...)
}

func inIPC(pause, root int, f func() error) error {
	ns, err := os.Open(NamespacePath(pause, "ipc"))
	if err != nil {
		return err
	}
	defer ns.Close()
	return thread.Run(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWIPC); err != nil {
			return os.NewSyscallError("setns", err)
		}
		if root != 0 {
			// Root of its user namespace may write them, and no other user, not
			// even the machine's root (ipc_permissions in the kernel). This thread
			// alone becomes that user.
			const same = ^uintptr(0)
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, same, uintptr(root), same); errno != 0 {
				return os.NewSyscallError("setresuid", errno)
			}
		}
		return f()
	})
}

func writeSysctls(list []v1.Sysctl) error {
	for _, s := range list {
		// Not os.WriteFile: a sysctl is neither created nor truncated.
		f, err := os.OpenFile(sysctlFile(s.Name), os.O_WRONLY, 0)
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("set sysctl %s: this kernel has none of that name in a pod", s.Name)
		}
		if err != nil {
			return fmt.Errorf("set sysctl %s: %w", s.Name, err)
		}
		_, err = f.WriteString(s.Value)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("set sysctl %s to %q: %w", s.Name, s.Value, err)
		}
	}
	return nil
}

// sysctlFile is where a normalised name leads: its dots part it, and a slash in
// it is a dot in the name of a link.
func sysctlFile(name string) string {
	exchange := func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}
	return filepath.Join("/proc/sys", strings.Map(exchange, name))
}
