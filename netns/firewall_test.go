package netns

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// The tables of other firewalls, as they look on a machine that has them. That a
// packet is dropped is seen by sending it; what is said of it must agree.

const dockersTable = `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
`

const ufwsTable = `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:%[1]s-before-forward - [0:0]
:%[1]s-user-forward - [0:0]
:%[1]s-reject-forward - [0:0]
-A FORWARD -j %[1]s-before-forward
-A FORWARD -j %[1]s-reject-forward
-A %[1]s-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A %[1]s-before-forward -p tcp -m tcp --dport 99 -j ACCEPT
-A %[1]s-before-forward -j %[1]s-user-forward
COMMIT
`

const firewalldsTable = `table inet firewalld {
	chain filter_FORWARD {
		type filter hook forward priority filter + 10; policy accept;
		ct state { established, related } accept
		ct status dnat accept
		iifname "lo" accept
		ct state invalid drop
		ip6 daddr { ::/96, ::ffff:0.0.0.0/96, 2002::/24, 2002:a00::/24 } reject with icmpv6 addr-unreachable
		jump filter_FORWARD_ZONES
		reject with icmpx admin-prohibited
	}
	chain filter_FORWARD_ZONES {
		ip saddr 10.99.0.0/16 goto filter_FWD_trusted
		iifname vmap { "uplink" : goto filter_FWD_public, "other" : goto filter_FWD_trusted }
		goto filter_FWD_public
	}
	chain filter_FWD_trusted { accept; }
	chain filter_FWD_public {
		meta l4proto { icmp, ipv6-icmp } accept
		reject with icmpx admin-prohibited
	}
}
`

const ownTable = `table inet custom {
	set friends { type ipv4_addr; flags interval; elements = { 10.0.0.1-10.0.0.9, 198.51.100.0/24 } }
	chain forward {
		type filter hook forward priority 0; policy drop;
		ct state established,related accept
		ip saddr @friends accept
		tcp dport 22 accept
	}
}
`

func (m *machine) restore(program, text string) { m.input(text, program+"-nft-restore", "-w") }

// restoreLegacy takes the rules away when the test ends: they are not nftables'.
func (m *machine) restoreLegacy(program, text string) {
	m.input(text, program+"-legacy-restore", "-w")
	m.Cleanup(func() {
		m.input("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n", program+"-legacy-restore", "-w")
	})
}

func (m *machine) input(text, program string, args ...string) {
	m.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.Fatalf("%s: %v: %s", program, err, out)
	}
}

func (m *machine) load(text string) { m.input(text, "nft", "-f", "-") }

func TestOtherFirewalls(t *testing.T) {
	both := func(text string) func(*machine) {
		return func(m *machine) {
			m.restore("iptables", strings.ReplaceAll(text, "%[1]s", "ufw"))
			m.restore("ip6tables", strings.ReplaceAll(text, "%[1]s", "ufw6"))
		}
	}
	legacy := func(text string) func(*machine) {
		return func(m *machine) {
			m.restoreLegacy("iptables", strings.ReplaceAll(text, "%[1]s", "ufw"))
			m.restoreLegacy("ip6tables", strings.ReplaceAll(text, "%[1]s", "ufw6"))
		}
	}
	nft := func(text string) func(*machine) { return func(m *machine) { m.load(text) } }
	for _, c := range []struct {
		name   string
		set    func(*machine)
		passes [3]bool // pod to pod, to the outside, from the outside to a host port
		remedy string  // of what is named
	}{
		{"none", func(*machine) {}, [3]bool{true, true, true}, ""},
		{"docker", both(dockersTable), [3]bool{true, true, true}, ""},
		{"iptables without a place for others", both(strings.ReplaceAll(dockersTable, "DOCKER-USER", "ELSEWHERE")),
			[3]bool{}, "iptables -I FORWARD -i ptest+ -j ACCEPT"},
		{"ufw", both(ufwsTable), [3]bool{}, "ufw route allow from 10.247.0.0/16"},
		{"docker, by the older iptables", legacy(dockersTable), [3]bool{}, "iptables-legacy -I DOCKER-USER -i ptest+ -j ACCEPT"},
		{"ufw, by the older iptables", legacy(ufwsTable), [3]bool{}, "ufw route allow from 10.247.0.0/16"},
		{"one of the older iptables that lets pods pass", legacy(strings.Replace(dockersTable, "-A DOCKER-USER -j RETURN", "-A DOCKER-USER -i ptest+ -j ACCEPT\n-A DOCKER-USER -o ptest+ -j ACCEPT", 1)),
			[3]bool{true, true, true}, ""},
		{"firewalld", nft(firewalldsTable), [3]bool{false, false, true}, "firewall-cmd --permanent --zone=trusted --add-source=10.247.0.0/16"},
		{"an administrator's", nft(ownTable), [3]bool{}, "nft insert rule inet custom forward iifname 'ptest*' accept"},
		{"one that lets pods pass", nft(strings.Replace(ownTable, "198.51.100.0/24", "10.247.0.0/16", 1) + strings.ReplaceAll(strings.ReplaceAll(ownTable, "policy drop", "policy accept"), "custom", "second")),
			[3]bool{true, true, false}, "custom forward"},
	} {
		t.Run(c.name, func(t *testing.T) { m := newMachine(t); m.judged(c.set, c.passes, c.remedy) })
	}
}

// behind is a machine with a firewall, another machine, and two pods, one with a host
// port; that one and the other machine serve.
func (m *machine) behind(set func(*machine)) (outside string, a, b *testPod) {
	outside = m.outside()
	set(m)
	m.Cleanup(func() { run(m, "nft", "flush", "ruleset") })
	a, b = m.pod(), m.pod(tcpAndUDP(8080, 80)...)
	m.serve(b.NetNS, ":80")
	m.serve(outside, ":80")
	return outside, a, b
}

// judged compares what is said of a firewall with what it does.
func (m *machine) judged(set func(*machine), passes [3]bool, remedy string) {
	outside, a, b := m.behind(set)
	names := [3]string{"traffic between pods", "what pods send to other machines", "what other machines send to host ports"}
	for i, try := range []struct{ ns, addr string }{
		{a.NetNS, at(b.Addr, "80")}, {a.NetNS, outsideAddr + ":80"}, {outside, machineAddr + ":8080"},
	} {
		if _, err := askInVain(try.ns, "tcp", try.addr); (err == nil) != passes[i] {
			m.Errorf("the test is wrong: %s gets %v", names[i], err)
		}
	}
	found, err := m.Obstacles()
	m.must(err)
	said := fmt.Sprint(found)
	for i, name := range names {
		if strings.Contains(said, name) == passes[i] {
			m.Errorf("%s: %s; want it named: %v", name, said, !passes[i])
		}
	}
	if !strings.Contains(said, remedy) {
		m.Errorf("got %s; want the remedy %q", said, remedy)
	}
	if remedy == "" && len(found) > 0 {
		m.Errorf("got %s of a firewall that lets all pass", said)
	}
}

// The commands that are named help, where they can be run here.
func TestRemedies(t *testing.T) {
	for name, set := range map[string]func(*machine){
		"an administrator's": func(m *machine) { m.load(ownTable) },
		"the older iptables": func(m *machine) {
			m.restoreLegacy("iptables", dockersTable)
			m.restoreLegacy("ip6tables", dockersTable)
		},
		"iptables": func(m *machine) {
			run(m, "iptables-nft", "-P", "FORWARD", "DROP")
			run(m, "ip6tables-nft", "-P", "FORWARD", "DROP")
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			outside, a, b := m.behind(set)
			found, err := m.Obstacles()
			m.must(err)
			if len(found) == 0 {
				t.Fatal("nothing is named")
			}
			for _, o := range found {
				for _, command := range o.Remedy {
					run(m, "sh", "-c", command)
				}
			}
			m.wantSeen("a pod", a.NetNS, at(b.Addr, "80"), a.Addr.String())
			m.wantSeen("a pod", a.NetNS, "["+outsideAddr6+"]:80", machineAddr6)
			m.wantSeen("the outside", outside, machineAddr+":8080", outsideAddr)
			if found, err := m.Obstacles(); err != nil || len(found) > 0 {
				t.Errorf("after the remedy: %v, %v", found, err)
			}
		})
	}
}

// iptables is what it prints, without its own remarks.
func iptables(t *testing.T, args ...string) string {
	var b strings.Builder
	for line := range strings.Lines(run(t, "iptables-nft", args...)) {
		if !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// docker, and iptables, go on to understand their table, and get it back as it was.
func TestDockersChain(t *testing.T) {
	m := newMachine(t)
	m.restore("iptables", dockersTable)
	m.Cleanup(func() { run(m, "nft", "flush", "ruleset") })
	before := iptables(t, "-S")
	first, second := m.pod(), m.pod()
	m.must(m.Attach(first.Attachment)) // again
	rules := iptables(t, "-S", "DOCKER-USER")
	want := "-N DOCKER-USER\n" +
		"-A DOCKER-USER -o ptest+ -m comment --comment podrun-test -j ACCEPT\n" +
		"-A DOCKER-USER -i ptest+ -m comment --comment podrun-test -j ACCEPT\n" +
		"-A DOCKER-USER -j RETURN\n"
	if rules != want {
		t.Errorf("got\n%swant\n%s", rules, want)
	}
	m.must(m.Detach(first.UID))
	if got := iptables(t, "-S", "DOCKER-USER"); got != want {
		t.Errorf("with a pod left: got\n%swant\n%s", got, want)
	}
	m.must(m.Detach(second.UID))
	if after := iptables(t, "-S"); after != before {
		t.Errorf("after the last pod: got\n%swant\n%s", after, before)
	}
}
