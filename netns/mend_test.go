package netns

import (
	"strings"
	"testing"
	"time"
)

// What others do to the machine's network is heard, named and mended; what the
// kernel tells nobody is named and mended.
func TestMend(t *testing.T) {
	cases := []struct {
		name   string
		damage func(*testPod)
		want   string // in what is missing
		silent bool   // the kernel tells nobody
	}{
		{"the ruleset was flushed", func(p *testPod) { run(p, "nft", "flush", "ruleset") }, "firewall table ip podrun-", false},
		{"the table was deleted", func(p *testPod) { run(p, "nft", "delete", "table", "ip", tableName(p.Instance)) }, "firewall table ip podrun-", false},
		{"the IPv6 table was deleted", func(p *testPod) { run(p, "nft", "delete", "table", "ip6", tableName(p.Instance)) }, "firewall table ip6 podrun-", false},
		{"the rules were flushed", func(p *testPod) { run(p, "nft", "flush", "table", "ip", tableName(p.Instance)) }, "rules in firewall table ip", false},
		{"the last chain was flushed", func(p *testPod) {
			run(p, "nft", "flush", "chain", "ip", tableName(p.Instance), "postrouting")
		}, "rules in firewall table ip", false},
		{"the ports were flushed", func(p *testPod) { run(p, "nft", "flush", "map", "ip", tableName(p.Instance), "ports") }, "rules in firewall table ip", false},
		{"the link is missing", func(p *testPod) { run(p, "ip", "link", "del", p.linkName(p.UID)) }, "link " + "", false},
		{"the link is down", func(p *testPod) { run(p, "ip", "link", "set", p.linkName(p.UID), "down") }, "is down", false},
		{"the route is missing", func(p *testPod) { run(p, "ip", "route", "del", p.Addr.String()) }, "route to 10.", false},
		{"the IPv6 route is missing", func(p *testPod) { run(p, "ip", "route", "del", p.Addr6.String()) }, "route to fd", false},
		{"the gateway is missing", func(p *testPod) { run(p, "ip", "link", "del", p.gatewayLink()) }, "link ", false},
		{"the gateway has no address", func(p *testPod) { run(p, "ip", "addr", "flush", "dev", p.gatewayLink()) }, "address 169.254.1.1 of link", false},
		{"forwarding is off", func(p *testPod) { p.must(sysctl{key: "ipv4/ip_forward", value: "0"}.write()) }, "sysctl net.ipv4.ip_forward", false},
		{"IPv6 forwarding is off", func(p *testPod) { p.must(sysctl{key: "ipv6/conf/all/forwarding", value: "0"}.write()) }, "sysctl net.ipv6.conf.all.forwarding", false},
		{"route_localnet is off", func(p *testPod) {
			p.must(sysctl{key: "ipv4/conf/" + p.linkName(p.UID) + "/route_localnet", value: "0"}.write())
		}, "route_localnet", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			outside := m.outside()
			web := m.pod(tcpAndUDP(8080, 80)...)
			m.must(m.Attach(web.Attachment))
			heard := make(chan bool, 100)
			m.must(m.Watch(t.Context(), web.Attachment, func() { heard <- true }))
			if missing, err := m.Missing(web.Attachment); err != nil || len(missing) > 0 {
				t.Fatalf("of what Attach has made there is missing: %q (%v)", missing, err)
			}
			c.damage(web)
			if !c.silent {
				select {
				case <-heard:
				case <-time.After(5 * time.Second):
					t.Error("the kernel's message was not heard")
				}
			}
			missing, err := m.Missing(web.Attachment)
			if err != nil || !strings.Contains(strings.Join(missing, ", "), c.want) || len(missing) == 0 {
				t.Errorf("missing: got %q (%v), want %q", missing, err, c.want)
			}
			anew, err := m.Mend(web.Attachment)
			m.must(err)
			if want := c.name == "the link is missing"; anew != want {
				t.Errorf("the link was made anew: got %v, want %v", anew, want)
			}
			if missing, err := m.Missing(web.Attachment); err != nil || len(missing) > 0 {
				t.Errorf("after Mend there is missing: %q (%v)", missing, err)
			}
			m.serve(web.NetNS, ":80")
			m.wantSeen("the machine", "", "127.0.0.1:8080", Gateway.String())
			m.wantSeen("the outside", outside, machineAddr+":8080", outsideAddr)
			m.wantSeen("the outside", outside, "["+machineAddr6+"]:8080", outsideAddr6)
			m.must(m.Detach(web.UID))
		})
	}
}

// The coming and going of another pod is not heard, beside the end of its link.
func TestWatchLeavesOthersOut(t *testing.T) {
	m := newMachine(t)
	web, other := m.pod(tcpAndUDP(8080, 80)...), m.pod()
	m.must(m.Attach(web.Attachment))
	heard := make(chan bool, 100)
	m.must(m.Watch(t.Context(), web.Attachment, func() { heard <- true }))
	m.must(m.Attach(other.Attachment))
	m.must(m.Detach(other.UID))
	select {
	case <-heard:
		t.Error("the pod was told of another's network")
	case <-time.After(200 * time.Millisecond):
	}
	run(web, "ip", "link", "del", web.linkName(web.UID))
	<-heard
	m.must(m.Detach(web.UID))
}

// A route that the pod has given itself stays when the machine's side is mended.
func TestMendLeavesThePodsOwn(t *testing.T) {
	m := newMachine(t)
	web := m.pod()
	m.must(m.Attach(web.Attachment))
	web.do(func() error {
		run(web, "ip", "route", "del", "default")
		return nil
	})
	run(web, "ip", "route", "del", web.Addr.String())
	_, err := m.Mend(web.Attachment)
	m.must(err)
	web.do(func() error {
		if routes := run(web, "ip", "route", "show", "default"); routes != "" {
			t.Errorf("the pod has got a default route: %s", routes)
		}
		return nil
	})
	m.must(m.Detach(web.UID))
}
