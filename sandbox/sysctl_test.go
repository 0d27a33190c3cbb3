package sandbox

import (
	"errors"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

func TestSysctlAdmission(t *testing.T) {
	tests := []struct {
		why, allowed, name   string
		hostNetwork, hostIPC bool
		want                 string
		allowable            bool
	}{
		{why: "safe", name: "kernel.shm_rmid_forced"},
		{why: "safe, with slashes", name: "net/ipv4/tcp_rmem"},
		{why: "namespaced and unsafe", name: "kernel.msgmax", want: `SysctlForbidden: forbidden sysctl: "kernel.msgmax" not allowlisted`, allowable: true},
		{why: "the machine's own", name: "vm.swappiness", want: `forbidden sysctl: "vm.swappiness" not allowlisted`},
		{why: "allowed", allowed: "kernel.msgmax", name: "kernel.msgmax"},
		{why: "allowed with slashes", allowed: "kernel/msgmax", name: "kernel.msgmax"},
		{why: "by a pattern", allowed: "net.core.*", name: "net.core.somaxconn"},
		{why: "beside a pattern", allowed: "net.core.*", name: "net.ipv4.ip_forward", want: `"net.ipv4.ip_forward" not allowlisted`, allowable: true},
		{why: "a name is no prefix", allowed: "net.core.som", name: "net.core.somaxconn", want: "not allowlisted", allowable: true},
		{why: "safe, of the machine's network", name: "net.ipv4.tcp_syncookies", hostNetwork: true, want: `"net.ipv4.tcp_syncookies" not allowed with host Net enabled`},
		{why: "allowed, of the machine's network", allowed: "net.*", name: "net.core.somaxconn", hostNetwork: true, want: `not allowed with host Net enabled`},
		{why: "of the machine's IPC", name: "kernel.shm_rmid_forced", hostIPC: true, want: `not allowed with host IPC enabled`},
		{why: "a dot in a link's name", allowed: "net.ipv4.conf.*", name: "net/ipv4/conf/eth0.1/rp_filter"},
	}
	for _, test := range tests {
		allowed, err := AllowSysctls(strings.Fields(test.allowed))
		if err != nil {
			t.Fatal(err)
		}
		p := &v1.PodSpec{HostNetwork: test.hostNetwork, HostIPC: test.hostIPC, SecurityContext: &v1.PodSecurityContext{Sysctls: []v1.Sysctl{{Name: test.name, Value: "1"}}}}
		err = allowed.Check(p)
		var forbidden *ForbiddenSysctl
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: got %v", test.why, err)
		case test.want != "" && (!errors.As(err, &forbidden) || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, want %s", test.why, err, test.want)
		case test.want != "" && forbidden.Allowable != test.allowable:
			t.Errorf("%s: allowable: got %v, want %v", test.why, forbidden.Allowable, test.allowable)
		}
	}
	for _, pattern := range []string{"vm.*", "*", "kernel.*", "net.*.x", "Net.core", "net..core", ""} {
		if _, err := AllowSysctls([]string{pattern}); err == nil {
			t.Errorf("the pattern %q is allowed", pattern)
		}
	}
}

func TestSysctlFile(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.conf.eth0/1.rp_filter": "/proc/sys/net/ipv4/conf/eth0.1/rp_filter",
		"kernel.msgmax":                  "/proc/sys/kernel/msgmax",
	} {
		if got := sysctlFile(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
