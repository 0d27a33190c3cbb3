package dns

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestHosts(t *testing.T) {
	const head = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
	addrs := []netip.Addr{netip.MustParseAddr("10.244.0.2"), netip.MustParseAddr("fd00::2")}
	aliases := []HostAlias{{"10.0.0.1", []string{"db", "db.local"}}, {"10.0.0.2", []string{"cache"}}}
	for _, c := range []struct {
		name string
		file HostsFile
		want string
	}{
		{"a pod", HostsFile{Addrs: addrs[:1], Hostname: "web"}, head + "10.244.0.2\tweb\n"},
		{"two families", HostsFile{Addrs: addrs, Hostname: "web"}, head + "10.244.0.2\tweb\nfd00::2\tweb\n"},
		{"a subdomain", HostsFile{Addrs: addrs[:1], Hostname: "web", Domain: "sub.default.svc.cluster.local"},
			head + "10.244.0.2\tweb.sub.default.svc.cluster.local\tweb\n"},
		{"aliases", HostsFile{Addrs: addrs[:1], Hostname: "web", Aliases: aliases},
			head + "10.244.0.2\tweb\n\n# Entries added by HostAliases.\n10.0.0.1\tdb\tdb.local\n10.0.0.2\tcache\n"},
		{"the host's network", HostsFile{Machine: []byte("127.0.0.1 localhost\n"), Hostname: "web", Aliases: aliases[1:]},
			"# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n\n# Entries added by HostAliases.\n10.0.0.2\tcache\n"},
		{"the host's network, an empty file", HostsFile{Machine: []byte{}}, "# Kubernetes-managed hosts file (host network).\n"},
	} {
		if got := string(Hosts(c.file)); got != c.want {
			t.Errorf("%s: got\n%swant\n%s", c.name, got, c.want)
		}
	}
}

func TestResolvConf(t *testing.T) {
	const none = "\x00" // no such file
	long := strings.Repeat("x", 254)
	many := func(n int) string {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("d%d.example", i))
		}
		return strings.Join(names, " ")
	}
	wide := strings.TrimSpace(strings.Repeat(strings.Repeat("y", 250)+" ", 9))
	for _, c := range []struct {
		name, file, behind string
		hostNetwork        bool
		none               bool
		more               *Resolver
		want               string
		warnings           int
	}{
		{name: "as it is", file: "# by hand\nnameserver 10.0.0.1\nnameserver fd00::1\nsearch a.example b.example.\noptions ndots:2 rotate\n",
			want: "search a.example b.example\nnameserver 10.0.0.1\nnameserver fd00::1\noptions ndots:2 rotate\n"},
		{name: "the last search line counts, options add up", file: "search a\noptions x y:1\nsearch b .\noptions y:2\nnameserver 10.0.0.1",
			want: "search b\nnameserver 10.0.0.1\noptions x y:2\n"},
		{name: "more than three servers", file: "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
			want: "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n", warnings: 1},
		{name: "more than 32 search domains", file: "nameserver 10.0.0.1\nsearch " + many(33) + "\n",
			want: "search " + many(32) + "\nnameserver 10.0.0.1\n", warnings: 1},
		{name: "more than 2048 characters", file: "nameserver 10.0.0.1\nsearch " + wide + "\n",
			want: "search " + wide[:8*251-1] + "\nnameserver 10.0.0.1\n", warnings: 1},
		{name: "a search domain longer than a name can be", file: "nameserver 10.0.0.1\nsearch a " + long + " b\n",
			want: "search a b\nnameserver 10.0.0.1\n", warnings: 1},
		{name: "systemd-resolved", file: "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n", behind: "nameserver 192.168.1.1\nsearch other\n",
			want: "search lan\nnameserver 192.168.1.1\noptions edns0 trust-ad\n"},
		{name: "the search domains behind it", file: "nameserver ::1\n", behind: "nameserver 192.168.1.1\nsearch lan\n",
			want: "search lan\nnameserver 192.168.1.1\n"},
		{name: "a local server beside others", file: "nameserver 127.0.0.1\nnameserver 10.0.0.1\n", behind: "nameserver 192.168.1.1\n",
			want: "nameserver 10.0.0.1\n"},
		{name: "nothing known behind it", file: "nameserver 127.0.0.1\nsearch lan\n", behind: none, want: "search lan\n", warnings: 1},
		{name: "a router's link-local address", file: "nameserver fe80::1%eth0\nnameserver fd00::1\n", want: "nameserver fd00::1\n"},
		{name: "nothing but that", file: "nameserver 127.0.0.53\n", behind: "nameserver fe80::1%3\n", warnings: 1},
		{name: "the pod's own searches", file: "nameserver 10.0.0.1\nsearch a.example .\n",
			more: &Resolver{Searches: []string{".", "_sip._tcp.abc_d.example.com"}},
			want: "search a.example . _sip._tcp.abc_d.example.com\nnameserver 10.0.0.1\n"},
		{name: "only itself behind it", file: "nameserver 127.0.0.53\n", behind: "nameserver 127.0.0.53\n", warnings: 1},
		{name: "a loopback written as IPv6", file: "nameserver ::ffff:127.0.0.1\n", behind: none, warnings: 1},
		{name: "the host's network", file: "nameserver 127.0.0.53\n", behind: "nameserver 192.168.1.1\n", hostNetwork: true,
			want: "nameserver 127.0.0.53\n"},
		{name: "no file", file: none, warnings: 1},
		{name: "the pod's own beside it", file: "nameserver 10.0.0.1\nsearch a\noptions ndots:1 rotate\n",
			more: &Resolver{[]string{"10.0.0.2", "10.0.0.1"}, []string{"b", "a"}, []string{"debug", "ndots:5"}},
			want: "search a b\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions ndots:5 rotate debug\n"},
		{name: "the pod's own alone", file: "nameserver 10.0.0.1\nsearch a\noptions rotate\n", none: true,
			more: &Resolver{[]string{"127.0.0.1"}, []string{"b"}, []string{"edns0"}}, // its own loopback, where it may have a resolver
			want: "search b\nnameserver 127.0.0.1\noptions edns0\n"},
		{name: "too many with the pod's own", file: "nameserver 10.0.0.1\nnameserver 10.0.0.2\n",
			more: &Resolver{Nameservers: []string{"10.0.0.3", "10.0.0.4"}},
			want: "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n", warnings: 1},
		{name: "no file, but the pod's own", file: none, more: &Resolver{Nameservers: []string{"10.0.0.3"}}, want: "nameserver 10.0.0.3\n"},
		{name: "an empty file", file: ""},
		{name: "lines cut short", file: "nameserver\nsearch\noptions\n\n   \n; comment\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) string {
				path := filepath.Join(dir, name)
				if text != none {
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				return path
			}
			f := ResolvFile{Path: write("resolv.conf", c.file), HostNetwork: c.hostNetwork, None: c.none, More: c.more}
			f.behind = []string{filepath.Join(dir, "absent"), write("behind", c.behind)}
			got, warnings, err := ResolvConf(f)
			if err != nil || string(got) != c.want || len(warnings) != c.warnings {
				t.Errorf("got\n%swant\n%swarnings %q (want %d), %v", got, c.want, warnings, c.warnings, err)
			}
		})
	}
	if _, _, err := ResolvConf(ResolvFile{Path: t.TempDir()}); err == nil {
		t.Error("a directory is no resolver configuration")
	}
}

// What is written is read back the same, whatever was read.
func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 10.0.0.1\nsearch a b. .\noptions ndots:1\n")
	f.Add("nameserver\n\x00search\r\noptions\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := parseResolver(text)
		c.limit()
		again := parseResolver(string(c.text()))
		if !slices.Equal(c.Nameservers, again.Nameservers) || !slices.Equal(c.Options, again.Options) {
			t.Errorf("%q becomes %q, then %q", text, c, again)
		}
		if len(c.Nameservers) > maxNameservers || len(c.Searches) > maxSearches {
			t.Errorf("%q: limits are exceeded: %q", text, c)
		}
	})
}
