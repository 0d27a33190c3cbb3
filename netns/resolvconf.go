package netns

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strings"
)

// ResolvFile is what a pod's /etc/resolv.conf is made from.
type ResolvFile struct {
	Path string // empty means /etc/resolv.conf

	// HostNetwork: the pod can reach the machine's loopback, so resolvers there stay.
	HostNetwork bool

	behind []string // stands in for behindStubs in tests
}

// behindStubs are files that name the servers behind a local resolver, for the
// two that write one: systemd-resolved (127.0.0.53, 127.0.0.54) and
// NetworkManager's dnsmasq (127.0.0.1).
func behindStubs() []string {
	return []string{"/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"}
}

// Limits of the kubelet (pkg/apis/core/validation).
const (
	maxNameservers   = 3
	maxSearches      = 32
	maxSearchLetters = 2048
	maxSearch        = 253     // longer ones make glibc 2.28 abort
	maxResolvConf    = 1 << 20 // bytes read
)

// ResolvConf writes a pod's /etc/resolv.conf as the kubelet does for the
// dnsPolicy Default: nameservers, search domains and options of the machine,
// within the kubelet's limits. A resolver on the machine's loopback is out of the
// pod's reach and is replaced by the servers behind it, where they are known.
//
// Warnings are for the user, one sentence each. When no server remains, the pod
// gets a file without one (its lookups fail at once) and a warning: asking a
// public server instead, as docker does, would tell it the names in use without
// being asked to.
func ResolvConf(f ResolvFile) (text []byte, warnings []string, err error) {
	path := f.Path
	if path == "" {
		path = "/etc/resolv.conf"
	}
	c, err := readResolver(path)
	if errors.Is(err, fs.ErrNotExist) {
		warnings = append(warnings, fmt.Sprintf("%s does not exist: the pod has no DNS server", path))
	} else if err != nil {
		return nil, nil, fmt.Errorf("read resolver configuration: %w", err)
	}
	if !f.HostNetwork {
		warnings = append(warnings, c.replaceLoopback(path, f.behind)...)
	}
	warnings = append(warnings, c.limit()...)
	return c.text(), warnings, nil
}

// resolver is the content of a resolv.conf, as far as the kubelet reads it.
type resolver struct{ nameservers, searches, options []string }

func readResolver(path string) (resolver, error) {
	file, err := os.Open(path)
	if err != nil {
		return resolver{}, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxResolvConf))
	if err != nil {
		return resolver{}, err
	}
	return parseResolver(string(data)), nil
}

// parseResolver follows the kubelet's parseResolvConf: nameservers add up, of
// search and options the last line counts. A nameserver line without an address,
// an error there, is passed over: resolvers do the same.
func parseResolver(text string) resolver {
	var c resolver
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			c.nameservers = append(c.nameservers, fields[1:min(2, len(fields))]...)
		case "search":
			c.searches = nil
			for _, s := range fields[1:] {
				if s = strings.TrimSuffix(s, "."); s != "" {
					c.searches = append(c.searches, s)
				}
			}
		case "options":
			c.options = fields[1:]
		}
	}
	return c
}

func (c *resolver) replaceLoopback(path string, behind []string) (warnings []string) {
	kept, local := withoutLoopback(c.nameservers)
	if len(local) == 0 {
		return nil
	}
	if behind == nil {
		behind = behindStubs()
	}
	for _, file := range behind {
		// Only when nothing else is listed: with two kinds of server in the list the
		// reachable ones already answer.
		if len(kept) > 0 {
			break
		}
		if real, err := readResolver(file); err == nil {
			kept, _ = withoutLoopback(real.nameservers)
			if len(kept) > 0 && len(c.searches) == 0 {
				c.searches = real.searches
			}
		}
	}
	c.nameservers = kept
	if len(kept) > 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s names only %s, which a pod cannot reach, and the servers behind it are unknown: the pod has no DNS server",
		path, strings.Join(local, ", "))}
}

func withoutLoopback(servers []string) (kept, local []string) {
	for _, s := range servers {
		if addr, err := netip.ParseAddr(s); err == nil && addr.Unmap().IsLoopback() {
			local = append(local, s)
		} else {
			kept = append(kept, s)
		}
	}
	return kept, local
}

// limit cuts as the kubelet's formDNSNameserversFitsLimits and
// formDNSSearchFitsLimits do.
func (c *resolver) limit() (warnings []string) {
	if len(c.nameservers) > maxNameservers {
		c.nameservers = c.nameservers[:maxNameservers]
		warnings = append(warnings, "some nameservers were left out, the pod has: "+strings.Join(c.nameservers, " "))
	}
	all := c.searches
	c.searches = nil
	for _, s := range all[:min(len(all), maxSearches)] {
		if len(s) <= maxSearch {
			c.searches = append(c.searches, s)
		}
	}
	for len(strings.Join(c.searches, " ")) > maxSearchLetters {
		c.searches = c.searches[:len(c.searches)-1]
	}
	if len(c.searches) < len(all) {
		warnings = append(warnings, "some search domains were left out, the pod has: "+strings.Join(c.searches, " "))
	}
	return warnings
}

// text has the order and form in which containerd writes a CRI DNSConfig.
func (c *resolver) text() []byte {
	var b bytes.Buffer
	if len(c.searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(c.searches, " "))
	}
	for _, s := range c.nameservers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(c.options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(c.options, " "))
	}
	return b.Bytes()
}
