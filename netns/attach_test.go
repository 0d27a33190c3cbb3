package netns

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bothBridgeSettings runs a test under both values of bridge-nf-call-iptables:
// most machines have 0 (or no such setting), those with docker have 1.
func bothBridgeSettings(t *testing.T, f func(*testing.T)) {
	s := sysctl{key: "bridge/bridge-nf-call-iptables"}
	old, err := os.ReadFile(s.path())
	if err != nil {
		t.Run("no bridge-nf", f)
		return
	}
	defer func() {
		s.value = string(old)
		if err := s.write(); err != nil {
			t.Error(err)
		}
	}()
	for _, s.value = range []string{"0", "1"} {
		if err := s.write(); err != nil {
			t.Fatal(err)
		}
		t.Run("bridge-nf="+s.value, f)
	}
}

func TestPodsReachEachOtherAndTheOutside(t *testing.T) {
	bothBridgeSettings(t, func(t *testing.T) {
		m := newMachine(t)
		outside := m.outside()
		a, b := m.pod(), m.pod()
		m.serve(b.NetNS, "0.0.0.0:80") // a privileged port, bound by root: see TestPodSettings
		m.serve(outside, ":80")
		m.serve("", ":8000")

		m.wantSeen("a pod", a.NetNS, b.Addr.String()+":80", a.Addr.String())
		m.wantSeen("a pod", b.NetNS, b.Addr.String()+":80", b.Addr.String())
		m.wantSeen("the machine", "", b.Addr.String()+":80", machineAddr)
		m.wantSeen("a pod", a.NetNS, outsideAddr+":80", machineAddr)
		m.wantSeen("a pod", a.NetNS, machineAddr+":8000", a.Addr.String())
		// Not over UDP: a server on all addresses answers from the machine's usual one.
		if got, err := ask(a.NetNS, "tcp4", Gateway.String()+":8000"); got != a.Addr.String() {
			t.Errorf("the machine at the gateway's address sees %q, %v", got, err)
		}
		m.must(ping(a.NetNS, b.Addr))
		m.must(ping(a.NetNS, netip.MustParseAddr(outsideAddr)))
	})
}

// ping sends an echo request the way that ping does without privileges.
func ping(ns string, to netip.Addr) error {
	return within(ns, func() error {
		domain, protocol, request := unix.AF_INET, unix.IPPROTO_ICMP, byte(8)
		var server unix.Sockaddr = &unix.SockaddrInet4{}
		if to.Is4() {
			server.(*unix.SockaddrInet4).Addr = to.As4()
		} else {
			domain, protocol, request = unix.AF_INET6, unix.IPPROTO_ICMPV6, 128
			server = &unix.SockaddrInet6{Addr: to.As16()}
		}
		fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, protocol)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		defer unix.Close(fd)
		timeout := unix.NsecToTimeval(patience.Nanoseconds())
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		echo := []byte{request, 0, 0, 0, 0, 0, 0, 1} // the kernel writes id and checksum
		if err := unix.Sendto(fd, echo, 0, server); err != nil {
			return os.NewSyscallError("sendto", err)
		}
		_, _, err = unix.Recvfrom(fd, echo, 0)
		return os.NewSyscallError("recvfrom", err)
	})
}

func TestHostPorts(t *testing.T) {
	bothBridgeSettings(t, func(t *testing.T) {
		m := newMachine(t)
		outside := m.outside()
		other := m.pod()
		web := m.pod(tcpAndUDP(8080, 80)...)
		m.serve(web.NetNS, ":80")

		m.wantSeen("the machine", "", "127.0.0.1:8080", Gateway.String())
		m.wantSeen("the machine", "", "127.0.0.7:8080", Gateway.String())
		m.wantSeen("the machine", "", machineAddr+":8080", machineAddr)
		m.wantSeen("another pod", other.NetNS, machineAddr+":8080", other.Addr.String())
		m.wantSeen("another pod", other.NetNS, Gateway.String()+":8080", other.Addr.String())
		m.wantSeen("the pod itself", web.NetNS, machineAddr+":8080", Gateway.String())
		m.wantSeen("the outside", outside, machineAddr+":8080", outsideAddr)

		m.must(m.Detach(web.UID))
		for _, client := range []string{"", outside} {
			if got, err := askInVain(client, "tcp4", machineAddr+":8080"); err == nil {
				t.Errorf("a detached pod still answers %q from %q", got, client)
			}
		}
	})
}

func tcpAndUDP(host, container uint16) []Port {
	var ports []Port
	for _, ip := range []netip.Addr{{}, netip.IPv6Unspecified()} {
		for _, protocol := range []string{"TCP", "UDP"} {
			ports = append(ports, Port{HostIP: ip, HostPort: host, ContainerPort: container, Protocol: protocol})
		}
	}
	return ports
}

func TestHostIP(t *testing.T) {
	m := newMachine(t)
	outside := m.outside()
	local := Port{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 8080, ContainerPort: 80}
	public := Port{HostIP: netip.MustParseAddr(machineAddr), HostPort: 8081, ContainerPort: 80}
	web := m.pod(local, public)
	m.serve(web.NetNS, ":80")
	m.wantReached("tcp4", []reach{
		{"the machine", "", "127.0.0.1:8080", true},
		{"the machine", "", machineAddr + ":8080", false}, // only on 127.0.0.1
		{"the outside", outside, machineAddr + ":8080", false},
		{"the machine", "", machineAddr + ":8081", true},
		{"the outside", outside, machineAddr + ":8081", true},
		{"the machine", "", "127.0.0.1:8081", false}, // only on the public address
	})
}

// reach is whether somebody is answered at an address.
type reach struct {
	from, ns, addr string
	want           bool
}

func (m *machine) wantReached(network string, all []reach) {
	m.Helper()
	for _, r := range all {
		if _, err := askInVain(r.ns, network, r.addr); (err == nil) != r.want {
			m.Errorf("%s to %s: %v, want an answer: %v", r.from, r.addr, err, r.want)
		}
	}
}

// A laptop without any network has no address but the loopback's.
func TestMachineWithoutNetwork(t *testing.T) {
	m := newMachine(t)
	web := m.pod(tcpAndUDP(8080, 80)...)
	m.serve(web.NetNS, ":80")
	m.wantSeen("the machine", "", "127.0.0.1:8080", Gateway.String())
	m.wantSeen("the machine", "", web.Addr.String()+":80", Gateway.String())
	m.wantSeen("the pod itself", web.NetNS, Gateway.String()+":8080", Gateway.String())
	if got := m.podLinkMTU(web); got != defaultMTU {
		t.Errorf("got MTU %d, want %d", got, defaultMTU)
	}
}

// A client that keeps sending from one port has a flow that leads past the pod.
func TestUDPClientBeforeThePod(t *testing.T) {
	m := newMachine(t)
	outside := m.outside()
	var client net.Conn
	m.must(InNamespace(outside, func() (err error) {
		client, err = net.Dial("udp4", machineAddr+":8080")
		return err
	}))
	defer client.Close()
	m.pod() // brings the rules, and with them the tracking of connections
	sink, err := net.ListenPacket("udp4", ":8080")
	m.must(err)
	_, err = client.Write([]byte("?"))
	m.must(err)
	_, _, err = sink.ReadFrom(make([]byte, 8))
	m.must(err)
	m.must(sink.Close())

	web := m.pod(tcpAndUDP(8080, 80)...)
	m.serve(web.NetNS, ":80")
	m.wantAnswer(client, outsideAddr)
	m.must(m.Detach(web.UID))
	next := m.pod(tcpAndUDP(8080, 80)...)
	m.serve(next.NetNS, ":80")
	m.wantAnswer(client, outsideAddr)
}

func TestPodSettings(t *testing.T) {
	m := newMachine(t)
	m.outside()
	p := m.pod(tcpAndUDP(8080, 80)...)
	p.do(func() error {
		for _, s := range podSysctls(true) {
			got, err := os.ReadFile(s.path())
			if text := strings.Join(strings.Fields(string(got)), " "); err != nil || text != s.value {
				t.Errorf("%s in the pod is %q, %v; want %q", s.key, text, err, s.value)
			}
		}
		return nil
	})
	for _, s := range hostSysctls(m.linkName(p.UID), true, true) {
		if got, err := os.ReadFile(s.path()); err != nil || strings.TrimSpace(string(got)) != s.value {
			t.Errorf("%s is %q, %v; want %q", s.key, got, err, s.value)
		}
	}
	quiet := m.pod()
	key := fmt.Sprintf("ipv4/conf/%s/route_localnet", m.linkName(quiet.UID))
	if got, err := os.ReadFile(sysctl{key: key}.path()); err != nil || string(got) != "0\n" {
		t.Errorf("%s of a pod without host ports is %q, %v; want 0", key, got, err)
	}
	if got := m.podLinkMTU(p); got != testMTU {
		t.Errorf("got MTU %d, want that of the default route, %d", got, testMTU)
	}
}

func (m *machine) podLinkMTU(p *testPod) (mtu int) {
	p.do(func() error {
		l, err := net.InterfaceByName(podLink)
		if err == nil {
			mtu = l.MTU
		}
		return err
	})
	return mtu
}

func TestAddressOfAnotherLink(t *testing.T) {
	m := newMachine(t)
	m.outside()
	uplink, err := netlink.LinkByName("uplink")
	m.must(err)
	m.must(netlink.RouteAdd(&netlink.Route{LinkIndex: uplink.Attrs().Index, Dst: single(netip.MustParseAddr("10.247.0.2"))}))
	defer func() {
		m.must(netlink.RouteDel(&netlink.Route{LinkIndex: uplink.Attrs().Index, Dst: single(netip.MustParseAddr("10.247.0.2"))}))
	}()
	addr, err := m.Allocate("x")
	m.must(err)
	err = m.Attach(Attachment{UID: "x", NetNS: m.namespace("x"), Addr: addr})
	if err == nil || !strings.Contains(err.Error(), "another link has it") {
		t.Errorf("got %v, want that another link has the address", err)
	}
	m.must(m.Detach("x"))
}

func (m *machine) wantAnswer(client net.Conn, want string) {
	m.Helper()
	m.must(client.SetDeadline(time.Now().Add(patience)))
	_, err := client.Write([]byte("?"))
	m.must(err)
	buf := make([]byte, 64)
	n, err := client.Read(buf)
	if got := string(buf[:n]); err != nil || got != want {
		m.Errorf("a running UDP client got %q, %v; want %q", got, err, want)
	}
}
