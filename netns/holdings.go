package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"podrun/step"
)

// Holdings are what the machine has for the pods of an instance, whoever knows of them.
type Holdings struct {
	Claims map[string]string // of addresses: every link in the directory, by name
	Rules  []string          // uids of pods with elements in the firewall tables
	Tables bool              // there is a firewall table
	// Links are those with the prefix: with the gateway's, without those that lead
	// to a pod of another instance with the same prefix.
	Links []string
}

// Holdings looks, and changes nothing.
func (h Host) Holdings() (*Holdings, error) {
	all := &Holdings{Claims: map[string]string{}}
	entries, err := os.ReadDir(h.Addresses)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink != 0 {
			all.Claims[e.Name()], _ = os.Readlink(h.file(e.Name()))
		}
	}
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("open netfilter socket: %w", err)
	}
	defer conn.CloseLasting()
	if err := h.heldRules(conn, all); err != nil {
		return nil, err
	}
	return all, onHandle(func(handle *netlink.Handle) error { return h.heldLinks(handle, conn, all) })
}

func (h Host) heldRules(conn *nftables.Conn, all *Holdings) error {
	lock, err := h.lock(rulesLock) // a table that comes or goes meanwhile cannot be read
	if err != nil {
		return fmt.Errorf("lock firewall rules: %w", err)
	}
	defer lock.Close()
	for _, f := range []*family{ipv4, ipv6} {
		r := h.rules(conn, f)
		have, err := r.read()
		if err != nil {
			return fmt.Errorf("read firewall table %s: %w", r.table.Name, err)
		}
		all.Tables = all.Tables || have != nil
		for _, set := range have {
			for _, e := range set {
				all.Rules = append(all.Rules, e.Comment)
			}
		}
	}
	slices.Sort(all.Rules)
	all.Rules = slices.Compact(all.Rules)
	return nil
}

func (h Host) heldLinks(handle *netlink.Handle, conn *nftables.Conn, all *Holdings) error {
	links, err := handle.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("list links: %w", err)
	}
	var others map[netip.Addr]bool
	for _, l := range links {
		name := l.Attrs().Name
		if !strings.HasPrefix(name, h.prefix()) || l.Type() != "veth" {
			continue
		}
		if others == nil {
			if others, err = h.otherPods(conn); err != nil {
				return err
			}
		}
		if name == h.gatewayLink() || name == h.gatewayPeer() || h.leadsHere(handle, l, others) {
			all.Links = append(all.Links, name)
		}
	}
	return nil
}

// otherPods are the addresses of the pods of other instances.
func (h Host) otherPods(conn *nftables.Conn) (map[netip.Addr]bool, error) {
	tables, err := conn.ListTables()
	if err != nil {
		return nil, fmt.Errorf("list firewall tables: %w", err)
	}
	others := map[netip.Addr]bool{}
	for _, t := range tables {
		instance, ours := strings.CutPrefix(t.Name, tableName(""))
		if !ours || instance == h.Instance || t.Family != nftables.TableFamilyIPv4 {
			continue
		}
		r := Host{Instance: instance, Subnet: h.Subnet, LinkPrefix: h.LinkPrefix}.rules(conn, ipv4)
		elements, err := conn.GetSetElements(r.pods)
		if err != nil {
			continue // it has gone
		}
		for _, e := range elements {
			if addr, ok := netip.AddrFromSlice(e.Key); ok {
				others[addr] = true
			}
		}
	}
	return others, nil
}

// leadsHere tells whether a link with the prefix is of this instance: by the
// address to which it leads. One that leads nowhere says nothing.
func (h Host) leadsHere(handle *netlink.Handle, l netlink.Link, others map[netip.Addr]bool) bool {
	routes, err := handle.RouteList(l, unix.AF_INET)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(routes, func(r netlink.Route) bool {
		if r.Dst == nil {
			return false
		}
		addr, _ := netip.AddrFromSlice(r.Dst.IP)
		addr = addr.Unmap()
		return h.Subnet.Contains(addr) && !others[addr]
	})
}

// LinkName is the name of the host's end of a pod's link.
func (h Host) LinkName(uid string) string { return h.linkName(uid) }

// IsGateway tells whether a link is not of one pod, but of all.
func (h Host) IsGateway(link string) bool { return link == h.gatewayLink() || link == h.gatewayPeer() }

// RemoveLink removes a link of the machine; one that is gone is fine.
func (h Host) RemoveLink(name string) error {
	defer step.Change("remove link")()
	return onHandle(func(handle *netlink.Handle) error { return deleteLink(handle, name) })
}

// Unclaim removes one link of the directory of addresses, if it still leads to the target.
func (h Host) Unclaim(name, target string) error {
	lock, err := h.lock(lastAddress)
	if err != nil {
		return fmt.Errorf("release address: %w", err)
	}
	defer lock.Close()
	defer step.Change("remove claim of an address")()
	if now, err := os.Readlink(h.file(name)); err != nil || now != target {
		return nil
	}
	if err := os.Remove(h.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("release address: %w", err)
	}
	return nil
}
