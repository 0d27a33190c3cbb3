package netns

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"podrun/firewall"
)

// Missing names what the machine lacks of an attachment: what somebody else has
// removed or set back since [Host.Attach]. It changes nothing. What is inside of
// the pod's namespace is the pod's own affair, except that its link is there.
func (h Host) Missing(a Attachment) ([]string, error) {
	if err := h.check(a); err != nil {
		return nil, fmt.Errorf("look at pod network: %w", err)
	}
	var missing []string
	err := onHandle(func(handle *netlink.Handle) error {
		for _, look := range []func(*netlink.Handle, Attachment) ([]string, error){h.missingLink, h.missingGateway, h.missingRules} {
			found, err := look(handle, a)
			if err != nil {
				return err
			}
			missing = append(missing, found...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at pod network: %w", err)
	}
	return append(missing, h.MissingSysctls(a)...), nil
}

// linkThatIsUp finds a link; nil where it is missing or down.
func linkThatIsUp(handle *netlink.Handle, name string) (_ netlink.Link, missing []string, _ error) {
	link, err := handle.LinkByName(name)
	switch {
	case isNotFound(err):
		return nil, []string{"link " + name}, nil
	case err != nil:
		return nil, nil, fmt.Errorf("look up link %s: %w", name, err)
	case link.Attrs().Flags&net.FlagUp == 0:
		return nil, []string{"link " + name + " (it is down)"}, nil // its routes went with that
	}
	return link, nil, nil
}

func (h Host) missingLink(handle *netlink.Handle, a Attachment) ([]string, error) {
	name := h.linkName(a.UID)
	link, missing, err := linkThatIsUp(handle, name)
	if link == nil {
		return missing, err
	}
	for _, addr := range a.addrs() {
		if !routed(handle, link.Attrs().Index, addr) {
			missing = append(missing, "route to "+addr.String())
		}
	}
	return missing, nil
}

func (a Attachment) addrs() []netip.Addr {
	return slices.DeleteFunc([]netip.Addr{a.Addr, a.Addr6}, func(addr netip.Addr) bool { return !addr.IsValid() })
}

// routed tells whether the address is reached by the link. The cheap question is
// asked first; policy rules of the machine may answer it with another table.
func routed(handle *netlink.Handle, index int, addr netip.Addr) bool {
	if routes, err := handle.RouteGet(addr.AsSlice()); err == nil && len(routes) > 0 && routes[0].LinkIndex == index {
		return true
	}
	l := &link{host: handle}
	return l.checkRoute(index, addr) == nil
}

func (h Host) missingGateway(handle *netlink.Handle, a Attachment) ([]string, error) {
	name := h.gatewayLink()
	link, missing, err := linkThatIsUp(handle, name)
	if link == nil {
		return missing, err
	}
	for _, addr := range a.addrs() {
		f := familyOf(addr)
		have, err := handle.AddrList(link, netlinkFamily(f))
		if err != nil {
			return nil, fmt.Errorf("list addresses of link %s: %w", name, err)
		}
		want := single(h.gateway(f))
		if !slices.ContainsFunc(have, func(one netlink.Addr) bool { return one.IPNet != nil && one.IP.Equal(want.IP) }) {
			missing = append(missing, fmt.Sprintf("address %v of link %s", h.gateway(f), name))
		}
	}
	return missing, nil
}

func netlinkFamily(f *family) int {
	if f == ipv6 {
		return netlink.FAMILY_V6
	}
	return netlink.FAMILY_V4
}

func (h Host) missingRules(_ *netlink.Handle, a Attachment) (missing []string, err error) {
	lock, err := h.lock(rulesLock) // a table that comes or goes meanwhile cannot be read
	if err != nil {
		return nil, fmt.Errorf("lock firewall rules: %w", err)
	}
	defer lock.Close()
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("open netfilter socket: %w", err)
	}
	defer conn.CloseLasting()
	for _, f := range []*family{ipv4, ipv6} {
		want := wanted(a, f)
		if want == nil {
			continue
		}
		r := h.rules(conn, f)
		r.thorough = true
		have, err := r.read()
		if err != nil {
			return nil, fmt.Errorf("read firewall table %s: %w", r.table.Name, err)
		}
		switch intact, err := r.intact(have, want, a.UID); {
		case err != nil:
			return nil, fmt.Errorf("read firewall table %s: %w", r.table.Name, err)
		case have == nil:
			missing = append(missing, fmt.Sprintf("firewall table %s %s", f.name(), r.table.Name))
		case !intact:
			missing = append(missing, fmt.Sprintf("rules in firewall table %s %s", f.name(), r.table.Name))
		}
	}
	if lacks, err := firewall.Lacks(conn, tableName(h.Instance)); err == nil && lacks {
		missing = append(missing, "rules in docker's chain DOCKER-USER")
	}
	return missing, nil
}

// intact tells whether a table has all rules, and the elements of the pod.
func (r *rules) intact(have, want elements, uid string) (bool, error) {
	if have == nil {
		return false, nil
	}
	for _, s := range r.sets() {
		if remove, add := changes(have[s.Name], want[s.Name], uid); len(remove)+len(add) > 0 {
			return false, nil
		}
	}
	return r.laidOut()
}

func (f *family) name() string {
	if f == ipv6 {
		return "ip6"
	}
	return "ip"
}

// MissingSysctls is the part of [Host.Missing] that is settings, of most of which
// [Host.Watch] does not hear. It costs little.
func (h Host) MissingSysctls(a Attachment) []string {
	settings := hostSysctls(h.linkName(a.UID), len(a.Ports) > 0, a.Addr6.IsValid())
	var missing []string
	if isOff("ipv4/ip_forward") {
		missing = append(missing, "sysctl net.ipv4.ip_forward")
	}
	if a.Addr6.IsValid() && isOff("ipv6/conf/all/forwarding") {
		missing = append(missing, "sysctl net.ipv6.conf.all.forwarding")
	}
	for _, s := range settings {
		if strings.HasSuffix(s.key, "/addr_gen_mode") {
			continue // a reader spins while anybody changes links (rtnl_trylock)
		}
		now, err := os.ReadFile(s.path())
		if err == nil && strings.TrimSpace(string(now)) != s.value {
			missing = append(missing, "sysctl net."+strings.ReplaceAll(s.key, "/", "."))
		}
	}
	return missing
}

func isOff(key string) bool {
	now, err := os.ReadFile(sysctl{key: key}.path())
	return err == nil && strings.TrimSpace(string(now)) == "0"
}
