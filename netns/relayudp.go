package netns

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// relayIdle is how long an answer may take: the kernel's own measure for a UDP
	// flow that was answered (net.netfilter.nf_conntrack_udp_timeout_stream).
	relayIdle     = 120 * time.Second
	maxRelayFlows = 256
	maxDatagram   = 1<<16 - 1
	relayBuffer   = 1 << 18 // bytes that may wait; a reservation alone has next to none
)

// udpRelay leads datagrams of each client into the pod by a socket of its own, by
// which the answers find back.
type udpRelay struct {
	*Relay
	socket *net.UDPConn

	mu    sync.Mutex
	flows map[netip.AddrPort]*udpFlow
}

type udpFlow struct {
	client netip.AddrPort
	pod    *net.UDPConn
	next   int    // target to try when this one refuses
	last   []byte // what was sent last, to send it to the next target; nil after an answer
}

func (r *Relay) serveUDP(socket *os.File) error {
	c, err := net.FilePacketConn(socket)
	if err != nil {
		return err
	}
	r.socket = c
	u := &udpRelay{Relay: r, socket: c.(*net.UDPConn), flows: map[netip.AddrPort]*udpFlow{}}
	if err := u.socket.SetReadBuffer(relayBuffer); err != nil {
		c.Close()
		return err
	}
	go u.receive()
	return nil
}

func (u *udpRelay) receive() {
	buffer := make([]byte, maxDatagram)
	for {
		n, client, err := u.socket.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			u.send(client, buffer[:n])
		}
	}
}

// send passes a datagram on; one that cannot be sent is lost, as any may be.
func (u *udpRelay) send(client netip.AddrPort, datagram []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f := u.flows[client]
	if f == nil {
		if len(u.flows) >= maxRelayFlows {
			return
		}
		f = &udpFlow{client: client}
		if !u.open(f) {
			return
		}
		u.flows[client] = f
		go u.answer(f)
	}
	if f.last != nil || f.next == 1 {
		f.last = append(f.last[:0:0], datagram...)
	}
	_ = f.pod.SetReadDeadline(time.Now().Add(relayIdle))
	_, _ = f.pod.Write(datagram)
}

// open connects the flow to its next target.
func (u *udpRelay) open(f *udpFlow) bool {
	if f.next >= len(u.targets) {
		return false
	}
	t := u.targets[f.next]
	f.next++
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(t.from), net.UDPAddrFromAddrPort(t.to))
	if err != nil || !u.track(c) {
		return false
	}
	f.pod = c
	return true
}

// answer passes on what the pod sends, until nothing has come or gone for a while.
func (u *udpRelay) answer(f *udpFlow) {
	buffer := make([]byte, maxDatagram)
	for {
		n, err := f.pod.Read(buffer)
		if err == nil {
			u.mu.Lock()
			f.last = nil
			_ = f.pod.SetReadDeadline(time.Now().Add(relayIdle))
			u.mu.Unlock()
			_, _ = u.socket.WriteToUDPAddrPort(buffer[:n], f.client)
			continue
		}
		if errors.Is(err, syscall.ECONNREFUSED) && u.retry(f) {
			continue
		}
		u.mu.Lock()
		delete(u.flows, f.client)
		u.mu.Unlock()
		u.forget(f.pod)
		return
	}
}

// retry sends what the pod's one address refused to the other.
func (u *udpRelay) retry(f *udpFlow) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	refused := f.pod
	if f.last == nil || !u.open(f) {
		return false
	}
	u.forget(refused)
	_ = f.pod.SetReadDeadline(time.Now().Add(relayIdle))
	_, err := f.pod.Write(f.last)
	return err == nil
}
