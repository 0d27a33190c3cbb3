package netns

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// A test that something cannot be done proves little unless the same attempt
// succeeds without the guard.
func (m *machine) withoutGuard() {
	for _, family := range []string{"ip", "ip6"} {
		run(m, "nft", "flush", "chain", family, tableName(m.Instance), "guard")
	}
}

func TestPodCannotReachTheLoopback(t *testing.T) {
	m := newMachine(t)
	p := m.pod(tcpAndUDP(8080, 80)...) // with host ports: its link has route_localnet
	m.serve("", "127.0.0.1:9000")
	attempt := func(network string) error {
		_, err := askInVain(p.NetNS, network, "127.0.0.1:9000")
		return err
	}
	p.do(func() error {
		// What a pod with CAP_NET_ADMIN does to send such packets over the link.
		lo, err := netlink.LinkByName("lo")
		m.must(err)
		m.must(netlink.AddrDel(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)}}))
		m.must(netlink.RouteAdd(&netlink.Route{Dst: single(netip.MustParseAddr("127.0.0.1")), Gw: Gateway.AsSlice()}))
		return sysctl{key: "ipv4/conf/eth0/route_localnet", value: "1"}.write()
	})
	for _, network := range []string{"tcp4", "udp4"} {
		if attempt(network) == nil {
			t.Errorf("a pod reaches the machine's loopback over %s", network)
		}
	}
	m.withoutGuard()
	for _, network := range []string{"tcp4", "udp4"} {
		if err := attempt(network); err != nil {
			t.Errorf("the test proves nothing: without the guard too, %s gets %v", network, err)
		}
	}
	m.must(m.Attach(p.Attachment))
	if attempt("tcp4") == nil {
		t.Error("Attach does not bring back the guard")
	}
}

func TestPodCannotUseAnotherSource(t *testing.T) {
	m := newMachine(t)
	m.outside()
	liar, victim := m.pod(), m.pod()
	receiver := m.pod()
	var heard net.PacketConn
	receiver.do(func() (err error) {
		heard, err = net.ListenPacket("udp4", ":9000")
		return err
	})
	defer heard.Close()
	arrives := func(source netip.Addr) bool {
		from := &net.Dialer{Timeout: noAnswer, LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))}
		_, _ = exchange(liar.NetNS, "udp4", receiver.Addr.String()+":9000", from)
		m.must(heard.SetReadDeadline(time.Now().Add(noAnswer)))
		_, sender, err := heard.ReadFrom(make([]byte, 8))
		return err == nil && sender.(*net.UDPAddr).AddrPort().Addr().Unmap() == source
	}
	if !arrives(liar.Addr) {
		t.Fatal("the pod's own address does not arrive")
	}
	sources := []netip.Addr{
		victim.Addr,
		netip.MustParseAddr("10.247.200.200"), // nobody's
		netip.MustParseAddr("198.51.100.1"),   // the outside's
		netip.MustParseAddr(machineAddr),
	}
	for _, source := range sources {
		liar.do(func() error {
			eth, err := netlink.LinkByName(podLink)
			m.must(err)
			return netlink.AddrAdd(eth, &netlink.Addr{IPNet: single(source)})
		})
		if arrives(source) {
			t.Errorf("a pod sends from %v", source)
		}
	}
	m.withoutGuard()
	m.must(sysctl{key: "ipv4/conf/" + m.linkName(liar.UID) + "/rp_filter", value: "0"}.write())
	if !arrives(victim.Addr) {
		t.Error("the test proves nothing: without the guard too, nothing arrives")
	}
}
