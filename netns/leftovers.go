package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"podrun/firewall"
)

// Leftovers names what is in the kernel and on disk for pods of this instance,
// one line each, for tests that end by finding nothing: links with the prefix,
// routes into the subnets, the firewall table, claimed addresses. The directory
// of addresses itself stays, with the address given last in it.
func (h Host) Leftovers() ([]string, error) {
	var left []string
	for _, list := range []func() ([]string, error){h.leftLinks, h.leftRoutes, h.leftTables, h.leftRules, h.leftAddresses} {
		found, err := list()
		if err != nil {
			return nil, fmt.Errorf("list leftovers: %w", err)
		}
		left = append(left, found...)
	}
	return left, nil
}

func (h Host) leftLinks() ([]string, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var left []string
	for _, l := range links {
		if strings.HasPrefix(l.Name, h.prefix()) {
			left = append(left, "link "+l.Name)
		}
	}
	return left, nil
}

func (h Host) leftRoutes() ([]string, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, err
	}
	var left []string
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		to, _ := netip.AddrFromSlice(r.Dst.IP)
		if to = to.Unmap(); h.Subnet.Contains(to) || h.Subnet6.IsValid() && h.Subnet6.Contains(to) {
			left = append(left, "route "+r.String())
		}
	}
	return left, nil
}

func (h Host) leftTables() ([]string, error) {
	tables, err := (&nftables.Conn{}).ListTables()
	if err != nil {
		return nil, err
	}
	var left []string
	for _, t := range tables {
		if t.Name == tableName(h.Instance) {
			left = append(left, "firewall table "+t.Name)
		}
	}
	return left, nil
}

// leftRules are those in the tables of others.
func (h Host) leftRules() ([]string, error) {
	chains, err := firewall.Admitted(&nftables.Conn{}, tableName(h.Instance))
	for i, c := range chains {
		chains[i] = "firewall rule in table " + c
	}
	return chains, err
}

func (h Host) leftAddresses() ([]string, error) {
	entries, err := os.ReadDir(h.Addresses)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var left []string
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink != 0 {
			target, _ := os.Readlink(h.file(e.Name()))
			left = append(left, fmt.Sprintf("address %s -> %s", e.Name(), target))
		}
	}
	return left, nil
}
