// Package dns writes the two files by which the programs of a pod find names:
// /etc/hosts and /etc/resolv.conf, as the kubelet and containerd do. It reads the
// machine's resolver configuration. What a pod asks for comes as plain values; where
// the files go, and when they are made anew, is left to monitor.
package dns

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
)

// HostsFile is what a pod's /etc/hosts is made of.
type HostsFile struct {
	Addrs    []netip.Addr // the pod's; unused when Machine is set
	Hostname string
	Domain   string // the pod's subdomain with all that follows it; may be empty
	Aliases  []HostAlias

	// Machine is the content of the machine's own hosts file. A pod on the
	// host's network gets that instead of lines for its own address.
	Machine []byte
}

// HostAlias is one line of a pod's hostAliases.
type HostAlias struct {
	IP        string
	Hostnames []string
}

// Hosts writes the text of /etc/hosts, byte for byte as the kubelet's
// managedHostsFileContent and nodeHostsFileContent do.
func Hosts(f HostsFile) []byte {
	var b bytes.Buffer
	if f.Machine != nil {
		b.WriteString("# Kubernetes-managed hosts file (host network).\n")
		b.Write(f.Machine)
	} else {
		f.writePod(&b)
	}
	if len(f.Aliases) > 0 {
		b.WriteString("\n# Entries added by HostAliases.\n")
	}
	for _, a := range f.Aliases {
		fmt.Fprintf(&b, "%s\t%s\n", a.IP, strings.Join(a.Hostnames, "\t"))
	}
	return b.Bytes()
}

func (f HostsFile) writePod(b *bytes.Buffer) {
	// The IPv6 lines are the kubelet's for every pod, whatever its addresses.
	b.WriteString("# Kubernetes-managed hosts file.\n" +
		"127.0.0.1\tlocalhost\n" +
		"::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"fe00::0\tip6-localnet\n" +
		"fe00::0\tip6-mcastprefix\n" +
		"fe00::1\tip6-allnodes\n" +
		"fe00::2\tip6-allrouters\n")
	for _, addr := range f.Addrs {
		if f.Domain != "" {
			fmt.Fprintf(b, "%v\t%s.%s\t%s\n", addr, f.Hostname, f.Domain, f.Hostname)
		} else {
			fmt.Fprintf(b, "%v\t%s\n", addr, f.Hostname)
		}
	}
}
