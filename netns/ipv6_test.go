package netns

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func at(a netip.Addr, port string) string { return net.JoinHostPort(a.String(), port) }

var gateway6 = childHost("").Gateway6()

func TestIPv6(t *testing.T) {
	m := newMachine(t)
	outside := m.outside()
	a, b := m.pod(), m.pod(tcpAndUDP(8080, 80)...)
	m.serve(b.NetNS, "[::]:80")
	m.serve(outside, "[::]:80")
	m.serve("", "[::]:8000")
	here := netip.MustParseAddr(machineAddr6)

	m.wantSeen("a pod", a.NetNS, at(b.Addr6, "80"), a.Addr6.String())
	m.wantSeen("a pod", b.NetNS, at(b.Addr6, "80"), b.Addr6.String())
	m.wantSeen("the machine", "", at(b.Addr6, "80"), machineAddr6)
	m.wantSeen("a pod", a.NetNS, "["+outsideAddr6+"]:80", machineAddr6)
	m.wantSeen("a pod", a.NetNS, at(here, "8000"), a.Addr6.String())
	m.wantSeen("the machine", "", at(here, "8080"), machineAddr6)
	m.wantSeen("another pod", a.NetNS, at(here, "8080"), a.Addr6.String())
	m.wantSeen("another pod", a.NetNS, at(gateway6, "8080"), a.Addr6.String())
	m.wantSeen("the pod itself", b.NetNS, at(here, "8080"), gateway6.String())
	m.wantSeen("the outside", outside, at(here, "8080"), outsideAddr6)
	for _, to := range []netip.Addr{b.Addr6, netip.MustParseAddr(outsideAddr6), gateway6, here} {
		m.must(ping(a.NetNS, to))
	}

	m.must(m.Detach(b.UID))
	for _, client := range []string{"", outside, a.NetNS} {
		if got, err := askInVain(client, "tcp", at(here, "8080")); err == nil {
			t.Errorf("a detached pod still answers %q from %q", got, client)
		}
	}
}

// Addresses are there at once: no duplicate is looked for, no router either.
func TestIPv6AddressesAreReadyAtOnce(t *testing.T) {
	m := newMachine(t)
	p := m.pod()
	p.do(func() error {
		eth, err := netlink.LinkByName(podLink)
		m.must(err)
		addrs, err := netlink.AddrList(eth, netlink.FAMILY_V6)
		m.must(err)
		for _, a := range addrs {
			if a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
				t.Errorf("%v is tentative", a)
			}
		}
		if len(addrs) != 2 { // the link-local one is the other
			t.Errorf("got the addresses %v", addrs)
		}
		return nil
	})
	host, err := netlink.LinkByName(m.linkName(p.UID))
	m.must(err)
	if addrs, err := netlink.AddrList(host, netlink.FAMILY_V6); err != nil || len(addrs) > 0 {
		t.Errorf("the host end has %v, %v; want no address", addrs, err)
	}
}

func TestIPv6HostIP(t *testing.T) {
	m := newMachine(t)
	outside := m.outside()
	public := Port{HostIP: netip.MustParseAddr(machineAddr6), HostPort: 8081, ContainerPort: 80}
	web := m.pod(public)
	m.serve(web.NetNS, ":80")
	m.wantReached("tcp", []reach{
		{"the machine", "", "[" + machineAddr6 + "]:8081", true},
		{"the outside", outside, "[" + machineAddr6 + "]:8081", true},
		{"the outside", outside, machineAddr + ":8081", false},
		{"the machine", "", at(gateway6, "8081"), false},
	})
}

func TestIPv6OfAMachineWithoutNetwork(t *testing.T) {
	m := newMachine(t)
	web := m.pod(tcpAndUDP(8080, 80)...)
	m.serve(web.NetNS, ":80")
	m.wantSeen("the machine", "", at(web.Addr6, "80"), gateway6.String())
	m.wantSeen("the pod itself", web.NetNS, at(gateway6, "8080"), gateway6.String())
	// Programs that try IPv6 first must learn that it leads nowhere. The kernel passes
	// over an answer that comes while connect holds the socket: one second at most.
	soon := &net.Dialer{Timeout: 5 * time.Second}
	if _, err := exchange(web.NetNS, "tcp", "["+outsideAddr6+"]:80", soon); !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EHOSTUNREACH) {
		t.Errorf("a connection to the outside gets %v, want that it is unreachable", err)
	}
}

// An uplink too narrow for IPv6, and a kernel that begins namespaces without it.
func TestIPv6AgainstTheOdds(t *testing.T) {
	m := newMachine(t)
	m.outside()
	run(t, "ip", "link", "set", "uplink", "mtu", "1000")
	a := m.pod()
	a.do(func() error { return sysctl{key: "ipv6/conf/all/disable_ipv6", value: "1"}.write() })
	m.must(m.Attach(a.Attachment))
	m.serve(a.NetNS, ":80")
	m.wantSeen("the machine", "", at(a.Addr6, "80"), gateway6.String())
	if got := m.podLinkMTU(a); got != minMTU6 {
		t.Errorf("got MTU %d, want %d", got, minMTU6)
	}
}

// What listens on ::1 only is out of every pod's reach, whatever routes it makes.
func TestPodCannotReachTheIPv6Loopback(t *testing.T) {
	m := newMachine(t)
	p := m.pod(tcpAndUDP(8080, 80)...)
	m.serve("", "[::1]:9000")
	p.do(func() error {
		lo, err := netlink.LinkByName("lo")
		m.must(err)
		m.must(netlink.AddrDel(lo, &netlink.Addr{IPNet: single(netip.IPv6Loopback())}))
		eth, err := netlink.LinkByName(podLink)
		m.must(err)
		return netlink.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Dst: single(netip.IPv6Loopback()), Gw: gateway6.AsSlice()})
	})
	for _, network := range []string{"tcp", "udp"} {
		if _, err := askInVain(p.NetNS, network, "[::1]:9000"); err == nil {
			t.Errorf("a pod reaches the machine's loopback over %s", network)
		}
		if _, err := askInVain(p.NetNS, network, at(gateway6, "9000")); err == nil {
			t.Errorf("a pod reaches a server of the loopback by the gateway over %s", network)
		}
	}
}

func TestPodCannotUseAnotherIPv6Source(t *testing.T) {
	m := newMachine(t)
	m.outside()
	liar, victim, receiver := m.pod(), m.pod(), m.pod()
	var heard net.PacketConn
	receiver.do(func() (err error) {
		heard, err = net.ListenPacket("udp6", ":9000")
		return err
	})
	defer heard.Close()
	arrives := func(source netip.Addr) bool {
		from := &net.Dialer{Timeout: noAnswer, LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))}
		_, _ = exchange(liar.NetNS, "udp6", at(receiver.Addr6, "9000"), from)
		m.must(heard.SetReadDeadline(time.Now().Add(noAnswer)))
		_, sender, err := heard.ReadFrom(make([]byte, 8))
		return err == nil && sender.(*net.UDPAddr).AddrPort().Addr() == source
	}
	if !arrives(liar.Addr6) {
		t.Fatal("the pod's own address does not arrive")
	}
	for _, source := range []netip.Addr{
		victim.Addr6, netip.MustParseAddr("fd47:1:2:3::ffff"), netip.MustParseAddr(outsideAddr6), netip.MustParseAddr(machineAddr6),
	} {
		liar.do(func() error {
			eth, err := netlink.LinkByName(podLink)
			m.must(err)
			return netlink.AddrAdd(eth, &netlink.Addr{IPNet: single(source), Flags: unix.IFA_F_NODAD})
		})
		if arrives(source) {
			t.Errorf("a pod sends from %v", source)
		}
	}
	m.withoutGuard()
	if !arrives(victim.Addr6) {
		t.Error("the test proves nothing: without the guard too, nothing arrives")
	}
}

// The machine goes on to learn its own routes from its routers.
func TestForwardingKeepsRouterAdvertisements(t *testing.T) {
	m := newMachine(t)
	m.outside()
	read := func(key string) string {
		value, err := os.ReadFile(sysctl{key: key}.path())
		m.must(err)
		return strings.TrimSpace(string(value))
	}
	old := map[string]string{}
	for key, value := range map[string]string{
		"ipv6/conf/all/forwarding": "0", "ipv6/conf/uplink/accept_ra": "1", "ipv6/conf/default/accept_ra": "1", "ipv6/conf/lo/accept_ra": "0",
	} {
		old[key] = read(key)
		m.must(sysctl{key: key, value: value}.write())
	}
	defer func() {
		for _, key := range []string{"ipv6/conf/default/accept_ra", "ipv6/conf/lo/accept_ra"} {
			m.must(sysctl{key: key, value: old[key]}.write())
		}
	}()
	p := m.pod()
	for key, want := range map[string]string{
		"ipv6/conf/all/forwarding": "1", "ipv6/conf/uplink/accept_ra": "2", "ipv6/conf/default/accept_ra": "2",
		"ipv6/conf/lo/accept_ra":                        "0", // switched off by somebody
		"ipv6/conf/" + m.linkName(p.UID) + "/accept_ra": "0", "ipv6/conf/" + m.gatewayLink() + "/accept_ra": "0",
	} {
		if got := read(key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
}

// A machine that has switched IPv6 off, or an administrator who wants none.
func TestPodWithoutIPv6(t *testing.T) {
	m := newMachine(t)
	before := m.pod(tcpAndUDP(8081, 80)...)
	before.Addr6, before.Ports = netip.Addr{}, before.Ports[:2]
	m.must(m.Attach(before.Attachment)) // a new monitor, after IPv6 was switched off
	if tables := run(t, "nft", "list", "tables"); strings.Contains(tables, "ip6 "+tableName(m.Instance)) {
		t.Errorf("the rules of IPv6 stay:\n%s", tables)
	}
	m.must(m.Detach(before.UID))

	m.Subnet6 = netip.Prefix{}
	if got := m.Address6(netip.MustParseAddr("10.247.0.2")); got.IsValid() {
		t.Errorf("got the address %v of no range", got)
	}
	p := m.pod(tcpAndUDP(8080, 80)[:2]...)
	m.serve(p.NetNS, ":80")
	m.wantSeen("the machine", "", "127.0.0.1:8080", Gateway.String())
	for _, link := range []string{m.linkName(p.UID), m.gatewayLink()} {
		if off, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + link + "/disable_ipv6"); err != nil || string(off) != "1\n" {
			t.Errorf("disable_ipv6 of %s is %q, %v; want 1", link, off, err)
		}
	}
	_, err := os.Stat("/proc/sys/net/ipv6")
	if got := HasIPv6(); got != (err == nil) {
		t.Errorf("HasIPv6 is %v, but %v", got, err)
	}
	all := sysctl{key: "ipv6/conf/all/disable_ipv6", value: "1"}
	m.must(all.write())
	if HasIPv6() {
		t.Error("IPv6 is there after it was switched off")
	}
	all.value = "0"
	m.must(all.write())
}

func TestSubnet6(t *testing.T) {
	for text, want := range map[string]bool{
		"fd00::/64": true, "2001:db8::/96": true, "fd00::/97": false, "10.0.0.0/8": false, "::ffff:10.0.0.0/96": false,
		"ff00::/16": false, "fe80::/64": false, "::/64": false,
	} {
		if err := CheckSubnet6(netip.MustParsePrefix(text)); (err == nil) != want {
			t.Errorf("%s: %v, want it accepted: %v", text, err, want)
		}
	}
	if CheckSubnet6(netip.Prefix{}) == nil {
		t.Error("no range is accepted")
	}
	a, b := DefaultSubnet6("a"), DefaultSubnet6("b")
	if a == b || a != DefaultSubnet6("a") || CheckSubnet6(a) != nil || a.Addr().As16()[0] != 0xfd {
		t.Errorf("the default ranges are %v and %v", a, b)
	}
	h := Host{Subnet6: netip.MustParsePrefix("fd00:0:0:1::/64")}
	if got, want := h.Address6(netip.MustParseAddr("10.244.0.2")), netip.MustParseAddr("fd00:0:0:1::0af4:2"); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := h.Gateway6(), netip.MustParseAddr("fd00:0:0:1::1"); got != want {
		t.Errorf("got the gateway %v, want %v", got, want)
	}
}

// A kernel whose firewall knows no IPv6 has no table either.
func TestNoTableOfAnUnknownFamily(t *testing.T) {
	for _, err := range []error{unix.ENOENT, unix.EAFNOSUPPORT, unix.EOPNOTSUPP} {
		if !isAbsent(os.NewSyscallError("read", err)) {
			t.Errorf("%v is taken for something else", err)
		}
	}
	if isAbsent(errors.New("another")) || isAbsent(unix.EPERM) {
		t.Error("any error is taken for a table that is not there")
	}
}
