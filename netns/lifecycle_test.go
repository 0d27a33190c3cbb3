package netns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

func TestAttachCompletesWhatIsThere(t *testing.T) {
	cases := []struct {
		name   string
		damage func(*testPod)
	}{
		{"nothing is missing", func(p *testPod) {}},
		{"the ruleset was flushed", func(p *testPod) { run(p, "nft", "flush", "ruleset") }},
		{"the rules were flushed", func(p *testPod) { run(p, "nft", "flush", "table", "ip", tableName(p.Instance)) }},
		{"rules of another layout", func(p *testPod) {
			table := tableName(p.Instance)
			run(p, "nft", "flush", "chain", "ip", table, "guard")
			run(p, "nft", "flush", "chain", "ip", table, "hostports")
			run(p, "nft", "add", "rule", "ip", table, "guard", "counter", "comment", "older")
		}},
		{"the IPv6 rules are missing", func(p *testPod) { run(p, "nft", "delete", "table", "ip6", tableName(p.Instance)) }},
		{"the IPv6 rules were flushed", func(p *testPod) { run(p, "nft", "flush", "table", "ip6", tableName(p.Instance)) }},
		{"the IPv6 route is missing", func(p *testPod) { run(p, "ip", "route", "del", p.Addr6.String()) }},
		{"IPv6 was switched off on the link", func(p *testPod) { p.must(disableIPv6(p.linkName(p.UID)).write()) }},
		{"IPv6 was switched off on the gateway", func(p *testPod) { p.must(disableIPv6(p.gatewayLink()).write()) }},
		{"a port is missing", func(p *testPod) {
			run(p, "nft", "delete", "element", "ip", tableName(p.Instance), "ports", "{ tcp . 8080 }")
		}},
		{"a port leads elsewhere", func(p *testPod) {
			table := tableName(p.Instance)
			run(p, "nft", "flush", "map", "ip", table, "ports")
			run(p, "nft", "add", "element", "ip", table, "ports", `{ tcp . 8080 comment "gone" : 10.247.9.9 . 80 }`)
		}},
		{"the link is missing", func(p *testPod) { run(p, "ip", "link", "del", p.linkName(p.UID)) }},
		{"the link is down", func(p *testPod) { run(p, "ip", "link", "set", p.linkName(p.UID), "down") }},
		{"the route is missing", func(p *testPod) { run(p, "ip", "route", "del", p.Addr.String()) }},
		{"the gateway is missing", func(p *testPod) { run(p, "ip", "link", "del", p.gatewayLink()) }},
		{"the gateway is half made", func(p *testPod) { run(p, "ip", "addr", "flush", "dev", p.gatewayLink()) }},
		{"the link leads into an earlier namespace", func(p *testPod) { p.NetNS = p.namespace("next") }},
		{"the pod's address is missing", func(p *testPod) {
			p.do(func() error {
				eth, err := netlink.LinkByName(podLink)
				p.must(err)
				return netlink.AddrDel(eth, &netlink.Addr{IPNet: single(p.Addr)})
			})
		}},
		{"the pod's links are down", func(p *testPod) {
			p.do(func() error {
				for _, name := range []string{"lo", podLink} {
					l, err := netlink.LinkByName(name)
					p.must(err)
					p.must(netlink.LinkSetDown(l))
				}
				return nil
			})
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			outside := m.outside()
			web := m.pod(tcpAndUDP(8080, 80)...)
			c.damage(web)
			m.must(m.Attach(web.Attachment))
			m.serve(web.NetNS, ":80")
			m.wantSeen("the machine", "", "127.0.0.1:8080", Gateway.String())
			m.wantSeen("the outside", outside, machineAddr+":8080", outsideAddr)
			m.wantSeen("the pod itself", web.NetNS, "127.0.0.1:80", "127.0.0.1")
			m.wantSeen("the outside", outside, "["+machineAddr6+"]:8080", outsideAddr6)
			m.wantSeen("the pod itself", web.NetNS, "[::1]:80", "::1")
		})
	}
}

func TestAttachChangesPorts(t *testing.T) {
	m := newMachine(t)
	web := m.pod(tcpAndUDP(8080, 80)...)
	m.serve(web.NetNS, ":80")
	web.Ports = tcpAndUDP(8090, 80)
	m.must(m.Attach(web.Attachment))
	m.wantSeen("the machine", "", "127.0.0.1:8090", Gateway.String())
	if _, err := askInVain("", "tcp4", "127.0.0.1:8080"); err == nil {
		t.Error("a port that the pod no longer has still answers")
	}
}

func TestDetach(t *testing.T) {
	m := newMachine(t)
	staying, going := m.pod(tcpAndUDP(8081, 80)...), m.pod(tcpAndUDP(8082, 80)...)
	m.serve(staying.NetNS, ":80")
	for _, want := range []string{
		"link " + m.linkName(going.UID), "link " + m.gatewayLink(), "firewall table podrun-test",
		"address " + going.UID + " -> " + going.Addr.String(), "address " + going.Addr.String() + " -> " + going.UID,
	} {
		if left, err := m.Leftovers(); err != nil || !slices.Contains(left, want) {
			t.Errorf("Leftovers does not name %q: %v, %q", want, err, left)
		}
	}
	m.must(m.Detach(going.UID))
	m.must(m.Detach(going.UID)) // again
	m.must(m.Detach("never-was"))
	m.wantSeen("the machine", "", "127.0.0.1:8081", Gateway.String())
	rules := run(t, "nft", "list", "table", "ip", tableName(m.Instance))
	if strings.Contains(rules, going.UID) || strings.Contains(rules, going.Addr.String()) {
		t.Errorf("rules of a detached pod are left:\n%s", rules)
	}
	if _, err := os.Lstat(m.file(going.Addr.String())); err == nil {
		t.Error("the address of a detached pod is still claimed")
	}
	m.must(m.Detach(staying.UID))
	if left, err := m.Leftovers(); err != nil || len(left) > 0 {
		t.Errorf("after the last pod: %v, %q", err, left)
	}
}

// Two instances share the machine, and the prefix that links have by default.
func TestTwoInstances(t *testing.T) {
	m := newMachine(t)
	outside := m.outside()
	second := &machine{TB: t, Host: childHost(t.TempDir())}
	second.Instance, second.Subnet = "test2", netip.MustParsePrefix("10.248.0.0/16")
	a, b := m.pod(tcpAndUDP(8081, 80)...), second.pod(tcpAndUDP(8082, 80)...)
	m.serve(a.NetNS, ":80")
	m.serve(b.NetNS, ":80")
	m.wantSeen("a pod of the other instance", a.NetNS, b.Addr.String()+":80", a.Addr.String())
	m.wantSeen("a pod of the other instance", b.NetNS, machineAddr+":8081", b.Addr.String())
	m.must(m.Detach(a.UID))
	m.wantSeen("the outside", outside, machineAddr+":8082", outsideAddr)
	m.wantSeen("the machine", "", "127.0.0.1:8082", Gateway.String())
	m.wantSeen("the pod itself", b.NetNS, Gateway.String()+":8082", Gateway.String())
	m.must(second.Detach(b.UID))
	if left, err := second.Leftovers(); err != nil || len(left) > 0 {
		t.Errorf("left of the second instance: %v, %q", err, left)
	}
}

func TestAnotherLinkPrefix(t *testing.T) {
	m := newMachine(t)
	m.pod()
	changed := m.Host
	changed.LinkPrefix = "pother"
	addr, err := changed.Allocate("x")
	m.must(err)
	err = changed.Attach(Attachment{UID: "x", NetNS: m.namespace("x"), Addr: addr})
	if err == nil || !strings.Contains(err.Error(), "ptest*") {
		t.Errorf("got %v, want that the instance's links are named ptest*", err)
	}
	m.must(changed.Detach("x"))
	if links := run(t, "ip", "-o", "link"); strings.Contains(links, "pother") {
		t.Errorf("links are left:\n%s", links)
	}
}

// The kernel removes the link with the namespace; the rest is still there.
func TestDetachAfterTheNamespace(t *testing.T) {
	m := newMachine(t)
	p := m.pod(tcpAndUDP(8080, 80)...)
	link, err := netlink.LinkByName(m.linkName(p.UID))
	m.must(err)
	m.must(netlink.LinkDel(link))
	m.must(m.Detach(p.UID))
}

func TestUnreachableNamespace(t *testing.T) {
	m := newMachine(t)
	addr, err := m.Allocate("x")
	m.must(err)
	if err := m.Attach(Attachment{UID: "x", NetNS: "/proc/self/nothing", Addr: addr}); err == nil {
		t.Error("attached a namespace that does not exist")
	}
	if err := m.Attach(Attachment{UID: "x", NetNS: "/proc/self/status", Addr: addr}); err == nil {
		t.Error("attached a file that is no namespace")
	}
	m.must(m.Detach("x"))
}

// attachMany is a child that attaches and detaches all its pods at once.
func attachMany(args []string) error {
	h, paths := childHost(args[0]), args[1:]
	errs := make(chan error)
	for _, path := range paths {
		go func() { errs <- attachOne(h, strings.ReplaceAll(path[1:], "/", "-"), path) }()
	}
	var all error
	for range paths {
		all = errors.Join(all, <-errs)
	}
	return all
}

func attachOne(h Host, uid, path string) error {
	addr, err := h.Allocate(uid)
	if err != nil {
		return err
	}
	n := addr.As4()
	ports := tcpAndUDP(binary.BigEndian.Uint16(n[2:]), 80)
	if err := h.Attach(Attachment{UID: uid, NetNS: path, Addr: addr, Addr6: h.Address6(addr), Ports: ports}); err != nil {
		return err
	}
	return h.Detach(uid)
}

// Table and gateway come and go with the first and the last pod of all processes.
func TestAttachFromManyProcesses(t *testing.T) {
	const processes, pods = 3, 6
	m := newMachine(t)
	var children []*exec.Cmd
	for i := range processes {
		args := []string{m.Addresses}
		for j := range pods {
			args = append(args, m.namespace(fmt.Sprintf("ns-%d-%d", i, j)))
		}
		c := self("attach", args...)
		c.Stderr = os.Stderr
		m.must(c.Start())
		children = append(children, c)
	}
	for _, c := range children {
		m.must(c.Wait())
	}
}

func BenchmarkAttach(b *testing.B) {
	for _, c := range []struct {
		name  string
		ports []Port
	}{{"no ports", nil}, {"TCP port", tcpAndUDP(8080, 80)[:1]}, {"UDP port", tcpAndUDP(8080, 80)[1:2]}} {
		b.Run(c.name, func(b *testing.B) {
			m := newMachine(b)
			m.pod() // the table is there
			var detaching time.Duration
			for b.Loop() {
				b.StopTimer()
				a := Attachment{UID: "measured", NetNS: m.namespace("measured"), Ports: c.ports}
				b.StartTimer()
				var err error
				a.Addr, err = m.Allocate(a.UID)
				m.must(err)
				a.Addr6 = m.Address6(a.Addr)
				m.must(m.Attach(a))
				b.StopTimer()
				start := time.Now()
				m.must(m.Detach(a.UID))
				detaching += time.Since(start)
				b.StartTimer()
			}
			b.ReportMetric(float64(detaching.Microseconds())/1000/float64(b.N), "ms/Detach")
		})
	}
}
