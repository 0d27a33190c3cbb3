package netns

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// relayed reserves the ports of a pod and relays those that need it.
func (m *machine) relayed(p *testPod) []*Relay {
	m.Helper()
	files, err := Reserve(p.Ports)
	m.must(err)
	var relays []*Relay
	for i, port := range p.Ports {
		if port.Relayed() {
			r, err := m.Relay(files[i], p.Attachment, port)
			m.must(err)
			relays = append(relays, r)
		}
	}
	m.Cleanup(func() {
		for _, r := range relays {
			r.Close()
		}
		for _, f := range files {
			f.Close()
		}
	})
	return relays
}

func TestRelay(t *testing.T) {
	m := newMachine(t)
	outside := m.outside()
	for _, c := range []struct{ name, listen, source string }{
		{"a server on all addresses", ":80", gateway6.String()},
		{"a server for IPv6", "[::]:80", gateway6.String()},
		{"a server for IPv4", "0.0.0.0:80", Gateway.String()},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &machine{TB: t, Host: m.Host}
			web := m.pod(tcpAndUDP(8080, 80)...)
			m.relayed(web)
			m.serve(web.NetNS, c.listen)
			m.wantSeen("the machine", "", "[::1]:8080", c.source)
			if c.listen != "0.0.0.0:80" {
				m.wantSeen("the outside", outside, "["+machineAddr6+"]:8080", outsideAddr6) // past the relay
			}
		})
	}
}

func TestRelayOfNobody(t *testing.T) {
	m := newMachine(t)
	web := m.pod(tcpAndUDP(8080, 80)...)
	m.relayed(web)
	c, err := net.Dial("tcp", "[::1]:8080")
	if errors.Is(err, unix.ECONNRESET) {
		return
	}
	m.must(err)
	defer c.Close()
	m.must(c.SetDeadline(time.Now().Add(patience)))
	if n, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF || os.IsTimeout(err) {
		t.Errorf("got %d, %v; want a reset of a connection that no program takes", n, err)
	}
}

// A large transfer in each direction, each ended by one side while the other goes on.
func TestRelayPassesEnds(t *testing.T) {
	const size = 1 << 20
	m := newMachine(t)
	web := m.pod(tcpAndUDP(8080, 80)...)
	m.relayed(web)
	var l net.Listener
	web.do(func() (err error) { l, err = net.Listen("tcp", ":80"); return err })
	defer l.Close()
	received := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			received <- err.Error()
			return
		}
		defer c.Close()
		n, err := io.Copy(io.Discard, c)
		received <- fmt.Sprint(n, err)
		_, _ = io.WriteString(c, strings.Repeat("b", size))
	}()
	c, err := net.Dial("tcp", "[::1]:8080")
	m.must(err)
	defer c.Close()
	_, err = io.WriteString(c, strings.Repeat("a", size))
	m.must(err)
	m.must(c.(*net.TCPConn).CloseWrite())
	if got, want := <-received, fmt.Sprint(size, nil); got != want {
		t.Errorf("the pod got %s, want %s", got, want)
	}
	if n, err := io.Copy(io.Discard, c); n != size || err != nil {
		t.Errorf("the client got %d, %v; want %d", n, err, size)
	}
}

// The reservation outlives its relay (a monitor that is killed), and a client that
// comes in between is served by the next.
func TestNextRelay(t *testing.T) {
	m := newMachine(t)
	web := m.pod(Port{HostIP: netip.IPv6Loopback(), HostPort: 8080, ContainerPort: 80})
	m.serve(web.NetNS, ":80")
	files, err := Reserve(web.Ports)
	m.must(err)
	first, err := m.Relay(files[0], web.Attachment, web.Ports[0])
	m.must(err)
	if _, err := ask("", "tcp", "[::1]:8080"); err != nil {
		t.Error(err)
	}
	first.Close()
	answer := make(chan error)
	go func() {
		_, err := ask("", "tcp", "[::1]:8080")
		answer <- err
	}()
	second, err := m.Relay(files[0], web.Attachment, web.Ports[0])
	m.must(err)
	if err := <-answer; err != nil {
		t.Error(err)
	}
	if files, err := Reserve(web.Ports); err == nil {
		closeAll(t, files)
		t.Error("a relayed port can be reserved twice")
	}

	// An open connection, and those that have just ended, do not keep the port.
	c, err := net.Dial("tcp", "[::1]:8080")
	m.must(err)
	defer c.Close()
	second.Close()
	closeAll(t, files)
	if files, err = Reserve(web.Ports); err != nil {
		t.Error(err)
	}
	closeAll(t, files)
}
