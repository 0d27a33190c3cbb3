package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/ground"
)

var neighbours = quickPod("sender", `
  containers: [{name: main, image: attack, imagePullPolicy: Never}]
`) + quickPod("ported", `
  containers: [{name: main, image: attack, imagePullPolicy: Never, ports: [{containerPort: 80, hostPort: %[1]d}, {containerPort: 80, hostPort: %[1]d, protocol: UDP}]}]
`) + quickPod("other", `
  containers: [{name: main, image: peer, imagePullPolicy: Never, command: [/peer, udp, -listen, ":7000", +, tcp, -listen, ":7000"]}]
`)

// services are what the machine offers on addresses that are not for pods, and one
// that is for everybody.
type services struct {
	mu      sync.Mutex
	heard   []string // where a datagram or a connection came from, and to which
	private int      // the port on the loopback
	public  int      // of all addresses, by UDP
}

func (s *services) hear(at, from string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, at+" from "+from)
}

// about is what was heard that has one of the words in it.
func (s *services) about(words ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for _, h := range s.heard {
		for _, w := range words {
			if strings.Contains(h, w) {
				found = append(found, h)
			}
		}
	}
	return strings.Join(found, ", ")
}

func (s *services) listen(t *testing.T, network, address string) int {
	t.Helper()
	if strings.HasPrefix(network, "udp") {
		c, err := net.ListenPacket(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		go func() {
			buffer := make([]byte, 2048)
			for {
				_, from, err := c.ReadFrom(buffer)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err == nil {
					s.hear(network+" "+c.LocalAddr().String(), from.String())
					c.WriteTo([]byte("answer\n"), from)
				}
			}
		}()
		return c.LocalAddr().(*net.UDPAddr).Port
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.hear(network+" "+l.Addr().String(), c.RemoteAddr().String())
			fmt.Fprintln(c, "answer")
			c.Close()
		}
	}()
	if at, ok := l.Addr().(*net.TCPAddr); ok {
		return at.Port
	}
	return 0
}

// addresses of a pod: IPv4, then IPv6.
func (a *attacker) addresses(pod string) (four, six string) {
	a.t.Helper()
	var p v1.Pod
	if err := json.Unmarshal([]byte(a.Must(a.t, "ps", pod, "-o", "json")), &p); err != nil {
		a.t.Fatal(err)
	}
	for _, ip := range p.Status.PodIPs {
		if at, err := netip.ParseAddr(ip.IP); err == nil && at.Is4() {
			four = ip.IP
		} else if err == nil {
			six = ip.IP
		}
	}
	return four, six
}

// machineAddress is one by which pods may reach the machine.
func machineAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range all {
		if p, ok := at.(*net.IPNet); ok && p.IP.To4() != nil && p.IP.IsGlobalUnicast() {
			return p.IP.String()
		}
	}
	return "169.254.1.1"
}

// TestEscapesByNetwork reaches for the machine's loopback (CVE-2020-8558) and its
// private sockets, and pretends to be somebody else.
func TestEscapesByNetwork(t *testing.T) {
	a := newAttacker(t)
	s := &services{}
	s.private = s.listen(t, "tcp4", "127.0.0.1:0")
	private := fmt.Sprint(":", s.private)
	s.listen(t, "udp4", "127.0.0.1"+private)
	s.listen(t, "tcp6", "[::1]"+private)
	s.listen(t, "udp6", "[::1]"+private)
	s.listen(t, "unix", "@podrun-escapes"+private)
	s.public = s.listen(t, "udp", ":0")
	port, err := a.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	a.mustUp(fmt.Sprintf(neighbours, port))
	machine, gateway := machineAddress(t), "169.254.1.1"
	for _, pod := range []string{"sender", "ported"} {
		for _, line := range a.lines(pod, "main", "/attack", "connect", "tcp", "127.0.0.1"+private, "[::1]"+private, gateway+private, machine+private, "[::ffff:127.0.0.1]"+private) {
			tried(t, pod+": tcp "+line, worked(line))
		}
		for _, line := range a.lines(pod, "main", "/attack", "connect", "udp", "127.0.0.1"+private, "[::1]"+private, gateway+private, machine+private) {
			tried(t, pod+": udp "+line, worked(line))
		}
		for _, line := range a.lines(pod, "main", "/attack", "connect", "unix", "@podrun-escapes"+private) {
			tried(t, pod+": abstract socket "+line, worked(line))
		}
		own, own6 := a.addresses(pod)
		var sent []string
		for _, source := range []string{own, "127.0.0.1", "0.0.0.0"} {
			for _, target := range []string{"127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0"} {
				sent = append(sent, "udp "+source+" "+target+private, "syn "+source+" "+target+private)
			}
		}
		if own6 != "" {
			for _, source := range []string{own6, "::1", "fe80::1"} {
				sent = append(sent, "udp "+source+" [::1]"+private, "udp "+source+" [::ffff:127.0.0.1]"+private)
			}
		}
		a.frames(pod, sent...)
	}
	// The frames are good ones: what the pod may send arrives, after all that it may not.
	own, _ := a.addresses("sender")
	ground.Until(t, "a frame that may pass", func() bool {
		a.send("sender", fmt.Sprintf("udp %s %s:%d", own, machine, s.public))
		return strings.Contains(s.about(own), own)
	})
	tried(t, "the machine's loopback from a pod", s.about("127.0.0.1"+private, "[::1]"+private, "@"))
	a.pretend(s, machine)
	a.down("sender", "ported", "other")
}

// frames sends some that must not arrive: the machine's side tells.
func (a *attacker) frames(pod string, frames ...string) {
	a.t.Helper()
	a.send(pod, frames...)
	for _, f := range frames {
		tried(a.t, pod+" sends "+f, "")
	}
}

// send sends frames, each as /attack frames takes it.
func (a *attacker) send(pod string, frames ...string) {
	a.t.Helper()
	out := a.exec(pod, "main", "sh", "-c", "/attack frames "+strings.Join(frames, "; /attack frames "))
	if strings.Count(out, " done") < len(frames) {
		a.t.Fatalf("send frames from %s: %s", pod, out)
	}
}

// pretend sends in the name of another pod, of a stranger, and of a router.
func (a *attacker) pretend(s *services, machine string) {
	t := a.t
	other, other6 := a.addresses("other")
	before := routes(t)
	public := fmt.Sprintf("%s:%d", machine, s.public)
	var sent []string
	for _, source := range []string{other, "192.0.2.1", "8.8.8.8", machine, "169.254.1.1"} {
		sent = append(sent, "udp "+source+" "+public)
		if source != other {
			sent = append(sent, "udp "+source+" "+other+":7000")
		}
	}
	own, own6 := a.addresses("sender")
	if other6 != "" {
		sent = append(sent, "udp 2001:db8::1 ["+other6+"]:7000", "udp "+other6+" ["+own6+"]:7000")
	}
	a.frames("sender", append(sent, "arp "+other+" "+machine, "arp 169.254.1.1 "+other, "advertisement")...)
	a.send("sender", "udp "+own+" "+other+":7000") // arrives after all of those
	ground.Until(t, "a datagram of the sender", func() bool { return strings.Contains(a.Must(t, "logs", "other"), own) })
	heard := a.Must(t, "logs", "other")
	for _, source := range []string{"192.0.2.1", "8.8.8.8", "169.254.1.1", "2001:db8::1"} {
		tried(t, "a datagram to a pod in the name of "+source, unless(!strings.Contains(heard, source), heard))
	}
	tried(t, "a datagram to the machine in another's name", s.about("from "+other, "from 192.0.2.1", "from 8.8.8.8", "from 169.254.1.1:40000"))
	time.Sleep(200 * time.Millisecond) // for the kernel to make of the advertisement what it will
	tried(t, "another router, or another's address", unless(routes(t) == before, routes(t)+"\nbefore:\n"+before))
	c, err := net.DialTimeout("tcp", other+":7000", 3*time.Second)
	if err != nil {
		tried(t, "another pod's address taken", err.Error())
		return
	}
	c.Close()
}

// routes are how the machine sends packets, without what ages.
func routes(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for _, args := range [][]string{{"route", "show", "table", "all"}, {"-6", "route", "show", "table", "all"}, {"-6", "address", "show", "dynamic"}} {
		out, err := exec.Command("ip", args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			// Other tests have pods too.
			if strings.Contains(line, "default") || strings.Contains(line, "db8") || strings.Contains(line, "dynamic") {
				line, _, _ = strings.Cut(line, " expires")
				text.WriteString(strings.TrimSpace(line) + "\n")
			}
		}
	}
	return text.String()
}
