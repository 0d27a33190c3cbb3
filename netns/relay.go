package netns

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// The rules cannot lead ::1 into a pod: the kernel lets no packet from or to it
// over a link, and IPv6 has no route_localnet. So a socket that reserves all of
// IPv6, or ::1, is read as well: nothing but what the machine sends to ::1 gets
// past the rules to it. The client's address is lost, as it is from 127.0.0.1.

// Relayed tells whether the port's reservation has to be read (see [Host.Relay]).
func (p Port) Relayed() bool {
	return p.family() == ipv6 && (p.everywhere() || p.HostIP.IsLoopback()) && p.protocol() != "SCTP"
}

// Relay leads what comes to a reserved socket into a pod.
type Relay struct {
	socket  io.Closer
	targets []target

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool // accepted, or to the pod
}

// target is an address of the pod, and whence to call it.
type target struct{ from, to netip.AddrPort }

const (
	relayDial  = 10 * time.Second
	relayRetry = 50 * time.Millisecond // when there are no descriptors left
)

// Relay serves the reservation of a port for which Relayed holds: connections and
// datagrams go to the pod's IPv6 address, and where nothing listens on that to its
// IPv4 address. It returns at once; the caller keeps socket. A reservation has one
// relay at a time; connections that wait for one are served by the next.
func (h Host) Relay(socket *os.File, a Attachment, p Port) (*Relay, error) {
	r := &Relay{conns: map[net.Conn]bool{}}
	for _, f := range []*family{ipv6, ipv4} {
		if to := a.addr(f); to.IsValid() {
			r.targets = append(r.targets, target{netip.AddrPortFrom(h.gateway(f), 0), netip.AddrPortFrom(to, p.ContainerPort)})
		}
	}
	if p.protocol() == "UDP" {
		return r, r.serveUDP(socket)
	}
	l, err := net.FileListener(socket)
	if err != nil {
		return nil, fmt.Errorf("relay host port %v: %w", p, err)
	}
	r.socket = l
	go r.accept(l)
	return r, nil
}

// Close ends the relay and what it relays. The reservation stays. Connections are
// reset rather than closed, because the port would stay in use for a minute.
func (r *Relay) Close() {
	r.socket.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for c := range r.conns {
		reset(c)
	}
}

// reset closes a connection without the states of TCP that follow a close.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// track makes Close end the connection; false: it came too late and has ended.
func (r *Relay) track(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		reset(c)
		return false
	}
	r.conns[c] = true
	return true
}

func (r *Relay) forget(c net.Conn) {
	r.mu.Lock()
	delete(r.conns, c)
	r.mu.Unlock()
	c.Close()
}

func (r *Relay) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			time.Sleep(relayRetry)
		case r.track(c):
			go r.connect(c.(*net.TCPConn))
		}
	}
}

// connect relays one connection. A client that the pod refuses sees a reset.
func (r *Relay) connect(client *net.TCPConn) {
	defer r.forget(client)
	pod, err := r.dial("tcp")
	if err != nil {
		reset(client)
		return
	}
	if !r.track(pod) {
		return
	}
	defer r.forget(pod)
	server := pod.(*net.TCPConn)
	done := make(chan struct{})
	go func() {
		pass(server, client)
		close(done)
	}()
	pass(client, server)
	<-done
}

// pass copies one direction to its end, which may come long before the other's.
func pass(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		reset(to)
		reset(from)
		return
	}
	_ = to.CloseWrite()
}

// dial calls the pod by the first address that does not refuse.
func (r *Relay) dial(network string) (c net.Conn, err error) {
	for _, t := range r.targets {
		d := net.Dialer{Timeout: relayDial, LocalAddr: net.TCPAddrFromAddrPort(t.from)}
		if c, err = d.Dial(network, t.to.String()); err == nil || !errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
	}
	return c, err
}
