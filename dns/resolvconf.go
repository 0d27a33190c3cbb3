package dns

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// ResolvFile is what a pod's /etc/resolv.conf is made from.
type ResolvFile struct {
	Path string // empty means /etc/resolv.conf

	// HostNetwork: the pod can reach the machine's loopback, so resolvers there stay.
	HostNetwork bool

	// None: nothing of the machine's file counts (dnsPolicy None).
	None bool

	// More is added to that, the pod's dnsConfig; may be nil.
	More *Resolver

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

// ResolvConf writes a pod's /etc/resolv.conf as the kubelet does (GetPodDNS) for
// the dnsPolicy Default, or None: nameservers, search domains and options of the
// machine, those of the pod, all within the kubelet's limits. A resolver on the
// machine's loopback, or at a link-local address, is out of the pod's reach and is
// replaced by the servers behind it, where they are known.
//
// Warnings are for the user, one sentence each. When no server remains, the pod
// gets a file without one (its lookups fail at once) and a warning: asking a
// public server instead, as docker does, would tell it the names in use without
// being asked to.
func ResolvConf(f ResolvFile) (text []byte, warnings []string, err error) {
	var c Resolver
	if !f.None {
		if c, warnings, err = f.machine(); err != nil {
			return nil, nil, fmt.Errorf("read resolver configuration: %w", err)
		}
	}
	if f.More != nil {
		c.add(f.More)
	}
	warnings = append(warnings, c.limit()...)
	return c.text(), warnings, nil
}

// machine is the machine's configuration, as far as a pod can use it.
func (f ResolvFile) machine() (c Resolver, warnings []string, err error) {
	path := f.Path
	if path == "" {
		path = "/etc/resolv.conf"
	}
	c, err = readResolver(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, f.without(path + " does not exist"), nil
	} else if err != nil {
		return c, nil, err
	}
	if f.HostNetwork {
		return c, nil, nil
	}
	return c, f.without(c.replaceLocal(path, f.behind)), nil
}

// without warns of a pod that has no server, for the reason given, unless it
// brings its own.
func (f ResolvFile) without(reason string) []string {
	if reason == "" || f.More != nil && len(f.More.Nameservers) > 0 {
		return nil
	}
	return []string{reason + ": the pod has no DNS server"}
}

// Resolver is the content of a resolv.conf, as far as the kubelet reads it.
// Options are of the form name or name:value.
type Resolver struct{ Nameservers, Searches, Options []string }

func readResolver(path string) (Resolver, error) {
	file, err := os.Open(path)
	if err != nil {
		return Resolver{}, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxResolvConf))
	if err != nil {
		return Resolver{}, err
	}
	return parseResolver(string(data)), nil
}

// parseResolver follows the kubelet's parseResolvConf: nameservers and options
// add up, of search the last line counts. A nameserver line without an address,
// an error there, is passed over: resolvers do the same.
func parseResolver(text string) Resolver {
	var c Resolver
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			c.Nameservers = append(c.Nameservers, fields[1:min(2, len(fields))]...)
		case "search":
			c.Searches = nil
			for _, s := range fields[1:] {
				if s = strings.TrimSuffix(s, "."); s != "" {
					c.Searches = append(c.Searches, s)
				}
			}
		case "options":
			c.Options = mergeOptions(c.Options, fields[1:])
		}
	}
	return c
}

// add is the kubelet's appendDNSConfig.
func (c *Resolver) add(more *Resolver) {
	c.Nameservers = distinct(append(c.Nameservers, more.Nameservers...))
	c.Searches = distinct(append(c.Searches, more.Searches...))
	c.Options = mergeOptions(c.Options, more.Options)
}

func distinct(list []string) []string {
	var kept []string
	for _, s := range list {
		if !slices.Contains(kept, s) {
			kept = append(kept, s)
		}
	}
	return kept
}

// mergeOptions adds options; one of a name that is there takes its place. (The
// kubelet's mergeDNSOptions leaves the order to chance.)
func mergeOptions(options, more []string) []string {
	name := func(option string) string { n, _, _ := strings.Cut(option, ":"); return n }
	merged := slices.Clone(options)
	for _, o := range more {
		same := func(have string) bool { return name(have) == name(o) }
		if i := slices.IndexFunc(merged, same); i >= 0 {
			merged[i] = o
		} else {
			merged = append(merged, o)
		}
	}
	return merged
}

// replaceLocal says why no server is left, if so.
func (c *Resolver) replaceLocal(path string, behind []string) (none string) {
	kept, local := reachable(c.Nameservers)
	if len(local) == 0 {
		return ""
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
			kept, _ = reachable(real.Nameservers)
			if len(kept) > 0 && len(c.Searches) == 0 {
				c.Searches = real.Searches
			}
		}
	}
	c.Nameservers = kept
	if len(kept) > 0 {
		return ""
	}
	return fmt.Sprintf("%s names only %s, which a pod cannot reach, and the servers behind it are unknown", path, strings.Join(local, ", "))
}

func reachable(servers []string) (kept, local []string) {
	for _, s := range servers {
		// Link-local addresses of IPv6 are those of neighbours of one link of the machine.
		addr, err := netip.ParseAddr(s)
		if err == nil && (addr.Unmap().IsLoopback() || addr.Is6() && addr.IsLinkLocalUnicast()) {
			local = append(local, s)
		} else {
			kept = append(kept, s)
		}
	}
	return kept, local
}

// limit cuts as the kubelet's formDNSNameserversFitsLimits and
// formDNSSearchFitsLimits do, with their words.
func (c *Resolver) limit() (warnings []string) {
	if len(c.Nameservers) > maxNameservers {
		c.Nameservers = c.Nameservers[:maxNameservers]
		warnings = append(warnings, "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "+strings.Join(c.Nameservers, " "))
	}
	all := c.Searches
	c.Searches = nil
	for _, s := range all[:min(len(all), maxSearches)] {
		if len(s) <= maxSearch {
			c.Searches = append(c.Searches, s)
		}
	}
	for len(strings.Join(c.Searches, " ")) > maxSearchLetters {
		c.Searches = c.Searches[:len(c.Searches)-1]
	}
	if len(c.Searches) < len(all) {
		warnings = append(warnings, "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "+strings.Join(c.Searches, " "))
	}
	return warnings
}

// text has the order and form in which containerd writes a CRI DNSConfig.
func (c *Resolver) text() []byte {
	var b bytes.Buffer
	if len(c.Searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(c.Searches, " "))
	}
	for _, s := range c.Nameservers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(c.Options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(c.Options, " "))
	}
	return b.Bytes()
}
