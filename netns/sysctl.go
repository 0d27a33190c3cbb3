package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"podrun/step"
)

// sysctl is one setting below /proc/sys/net of the calling thread's namespace.
type sysctl struct {
	key, value string
	optional   bool // the kernel may lack it (IPv6 built out or disabled)
}

func (s sysctl) path() string { return "/proc/sys/net/" + s.key }

func (s sysctl) write() error {
	// Not os.WriteFile: a sysctl is neither created nor truncated.
	f, err := os.OpenFile(s.path(), os.O_WRONLY, 0)
	if s.optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("set sysctl: %w", err)
	}
	_, err = f.WriteString(s.value)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("set sysctl: %w", err)
	}
	return nil
}

func writeSysctls(settings []sysctl) error {
	defer step.Change("write sysctls")()
	for _, s := range settings {
		if err := s.write(); err != nil {
			return err
		}
	}
	return nil
}

// enableForwarding makes the machine route, as Kubernetes asks of a node. It is
// never taken back: by then others may rely on it. Written only when it is off,
// because the kernel sets every link's own switch along with it.
func enableForwarding() error {
	s := sysctl{key: "ipv4/ip_forward", value: "1"}
	if now, err := os.ReadFile(s.path()); err == nil && strings.TrimSpace(string(now)) != "0" {
		return nil
	}
	return s.write()
}

// enableForwarding6 does the same for IPv6, where forwarding has a side effect: a
// link that has accept_ra at 1 no longer takes the router advertisements that may
// have given the machine its address and default route. With 2 it goes on to take
// them. So that is what all links get that have 1, and links to come.
func enableForwarding6() error {
	s := sysctl{key: "ipv6/conf/all/forwarding", value: "1"}
	if now, err := os.ReadFile(s.path()); err == nil && strings.TrimSpace(string(now)) != "0" {
		return nil
	}
	links, err := os.ReadDir("/proc/sys/net/ipv6/conf")
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		if l.Name() == "all" { // has no effect
			continue
		}
		ra := sysctl{key: "ipv6/conf/" + l.Name() + "/accept_ra", value: "2", optional: true}
		if now, err := os.ReadFile(ra.path()); err != nil || strings.TrimSpace(string(now)) != "1" {
			continue // it may be gone
		}
		if err := ra.write(); err != nil {
			return err
		}
	}
	return s.write()
}

func disableIPv6(link string) sysctl {
	return sysctl{key: "ipv6/conf/" + link + "/disable_ipv6", value: "1", optional: true}
}

// enableIPv6 makes a link of the machine a router port without addresses of its
// own, which believes nothing that pods say about routes.
func enableIPv6(link string) []sysctl {
	v6 := "ipv6/conf/" + link + "/"
	return []sysctl{
		{key: v6 + "addr_gen_mode", value: "1"}, // none: before the link is enabled or up
		{key: v6 + "accept_ra", value: "0"},
		{key: v6 + "accept_redirects", value: "0"},
		{key: v6 + "disable_ipv6", value: "0"},
	}
}

// hostSysctls are those of the host end, written before it is up.
func hostSysctls(link string, ports, ipv6 bool) []sysctl {
	v4 := "ipv4/conf/" + link + "/"
	settings := []sysctl{disableIPv6(link)}
	if ipv6 {
		settings = enableIPv6(link)
	}
	settings = append(settings, []sysctl{
		{key: v4 + "forwarding", value: "1"},
		{key: v4 + "accept_redirects", value: "0"},
		// The table's guard refuses a forged source already; this also says so where an
		// administrator looks for it. (The larger one of this and conf/all counts.)
		{key: v4 + "rp_filter", value: "1"},
	}...)
	if ports {
		// A connection from 127.0.0.1 to a host port leaves through this link with a
		// loopback source, and its answers come back to one (CVE-2020-8558: the guard
		// drops what was addressed to the loopback on the wire).
		settings = append(settings, sysctl{key: v4 + "route_localnet", value: "1"})
	}
	return settings
}

// podSysctls are those that containerd sets for every pod (enable_unprivileged_ports
// and enable_unprivileged_icmp): servers that are not root bind port 80, and ping
// works for everyone. With IPv6 the pod's addresses are there at once, for nobody
// else can have them, and no router is looked for.
func podSysctls(ipv6 bool) []sysctl {
	settings := []sysctl{
		{key: "ipv4/ip_unprivileged_port_start", value: "0"},
		{key: "ipv4/ping_group_range", value: "0 2147483647"},
	}
	if v6 := "ipv6/conf/" + podLink + "/"; ipv6 {
		settings = append(settings,
			sysctl{key: v6 + "accept_dad", value: "0"}, sysctl{key: v6 + "accept_ra", value: "0"},
			// A namespace may begin with the machine's defaults (net.core.devconf_inherit_init_net).
			sysctl{key: "ipv6/conf/all/disable_ipv6", value: "0"})
	}
	return settings
}
