package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
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

// hostSysctls are those of the host end, written before it is up.
func hostSysctls(link string, ports bool) []sysctl {
	v4 := "ipv4/conf/" + link + "/"
	settings := []sysctl{
		{key: "ipv6/conf/" + link + "/disable_ipv6", value: "1", optional: true},
		{key: v4 + "forwarding", value: "1"},
		{key: v4 + "accept_redirects", value: "0"},
		// The table's guard refuses a forged source already; this also says so where an
		// administrator looks for it. (The larger one of this and conf/all counts.)
		{key: v4 + "rp_filter", value: "1"},
	}
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
// works for everyone.
func podSysctls() []sysctl {
	return []sysctl{
		{key: "ipv4/ip_unprivileged_port_start", value: "0"},
		{key: "ipv4/ping_group_range", value: "0 2147483647"},
	}
}
