package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/dns"
	"podrun/pod"
	"podrun/state"
	"podrun/step"
)

const (
	// clusterDomain is what kubeadm gives a kubelet, and what manifests expect.
	clusterDomain = "cluster.local"

	maxLabel    = 63 // to which the kubelet cuts a pod's name (truncatePodHostnameIfNeeded)
	maxNodeName = 64 // that a kernel holds (__NEW_UTS_LEN)
)

// podNames are the pod's hostname without a domain, and its domain, which may be
// empty (kubelet, GeneratePodHostNameAndDomain). With hostNetwork the name is the
// machine's.
func podNames(p *v1.Pod) (host, domain string) {
	switch {
	case p.Spec.HostNetwork:
		return machineName(), ""
	case p.Spec.HostnameOverride != nil:
		return cutName(*p.Spec.HostnameOverride), ""
	}
	host = p.Name
	if p.Spec.Hostname != "" {
		host = p.Spec.Hostname
	}
	if p.Spec.Subdomain != "" {
		domain = fmt.Sprintf("%s.%s.svc.%s", p.Spec.Subdomain, p.Namespace, clusterDomain)
	}
	return cutName(host), domain
}

func cutName(name string) string {
	if len(name) > maxLabel {
		name = strings.TrimRight(name[:maxLabel], "-.")
	}
	return name
}

// hostname is what the kernel is told, with the domain where setHostnameAsFQDN
// asks for it (kubelet, GetNodenameForKernel).
func hostname(p *v1.Pod) string {
	host, domain := podNames(p)
	if domain != "" && p.Spec.SetHostnameAsFQDN != nil && *p.Spec.SetHostnameAsFQDN {
		return host + "." + domain
	}
	return host
}

// checkHostname complains of a name that the kernel cannot hold.
func checkHostname(p *v1.Pod) error {
	if name := hostname(p); !p.Spec.HostNetwork && len(name) > maxNodeName {
		return fmt.Errorf("set the hostname %s: with setHostnameAsFQDN it has %d characters, and at most %d are possible: shorten hostname, subdomain or namespace",
			name, len(name), maxNodeName)
	}
	return nil
}

func machineName() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// podFiles are the files that every container of the pod gets, in this mount
// namespace.
type podFiles struct{ hosts, hostname, resolvConf string }

// filesDir is where they are. They belong to a sandbox: the next one may have
// another address and another resolver.
func filesDir(s *state.Store, uid string) string { return filepath.Join(s.PodDir(uid), "files") }

// writeFiles writes what is not there yet: containers may change their hosts file.
func (m *monitor) writeFiles() error {
	dir := filesDir(m.store, m.uid())
	defer step.Change("write files of the pod")()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	m.files = podFiles{
		hosts: filepath.Join(dir, "hosts"), hostname: filepath.Join(dir, "hostname"), resolvConf: filepath.Join(dir, "resolv.conf"),
	}
	return errors.Join(
		writeOnce(m.files.hostname, func() ([]byte, error) { return []byte(hostname(m.pod) + "\n"), nil }),
		writeOnce(m.files.resolvConf, m.resolvConf),
		writeOnce(m.files.hosts, m.hostsFile),
	)
}

func writeOnce(path string, content func() ([]byte, error)) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	data, err := content()
	if err != nil {
		return err
	}
	return state.WriteFile(path, data, 0o644, state.Volatile)
}

func (m *monitor) hostsFile() ([]byte, error) {
	f := dns.HostsFile{Addrs: m.address.list()}
	f.Hostname, f.Domain = podNames(m.pod)
	for _, a := range m.pod.Spec.HostAliases {
		f.Aliases = append(f.Aliases, dns.HostAlias{IP: a.IP, Hostnames: a.Hostnames})
	}
	if m.pod.Spec.HostNetwork {
		machine, err := os.ReadFile("/etc/hosts")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		f.Machine = append([]byte{}, machine...)
	}
	return dns.Hosts(f), nil
}

func (m *monitor) resolvConf() ([]byte, error) {
	text, warnings, err := dns.ResolvConf(resolvFile(&m.pod.Spec))
	if err != nil {
		return nil, fmt.Errorf("make the pod's resolv.conf: %w", err)
	}
	for _, w := range warnings {
		m.event(pod.Event{Time: time.Now(), Type: v1.EventTypeWarning, Reason: "DNSConfigForming", Message: w})
	}
	return text, nil
}

// resolvFile is what the pod asks of its resolver. Where there is no cluster's
// DNS server, the kubelet too takes ClusterFirst for Default.
func resolvFile(spec *v1.PodSpec) dns.ResolvFile {
	f := dns.ResolvFile{HostNetwork: spec.HostNetwork, None: spec.DNSPolicy == v1.DNSNone}
	if spec.DNSConfig == nil {
		return f
	}
	f.More = &dns.Resolver{Nameservers: spec.DNSConfig.Nameservers, Searches: spec.DNSConfig.Searches}
	for _, o := range spec.DNSConfig.Options {
		option := o.Name
		if o.Value != nil && *o.Value != "" {
			option += ":" + *o.Value
		}
		f.More.Options = append(f.More.Options, option)
	}
	return f
}
