// Package probe makes one attempt of a network probe, httpGet, tcpSocket or grpc, as
// the kubelet's prober does. It owns the request and the verdict on its answer.
// When to probe, how often, and what follows is left to package pod; probes that
// run a command in a container are the runtime's.
package probe

import (
	"context"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Result is the verdict of one attempt.
type Result int

const (
	Failure Result = iota
	Success
	// Warning is a success worth telling: an HTTP redirect that was not followed.
	Warning
	// Unknown goes with an error: the attempt could not be made.
	Unknown
)

// String is the kubelet's word for the result.
func (r Result) String() string {
	return [...]string{"failure", "success", "warning", "unknown"}[r]
}

// Prober probes over the network of the calling thread's namespace. The zero
// value is ready to use, safe for concurrent use, and holds no connection
// between two attempts.
type Prober struct {
	// Dial replaces the way to the target; nil: a plain dial.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// TCPTarget is where a tcpSocket probe connects to.
type TCPTarget struct {
	Address string // host:port
	Timeout time.Duration
}

// TCP succeeds when a connection can be opened. It never returns an error: what
// keeps it from connecting is the container's failure, as it is for the kubelet.
func (p *Prober) TCP(ctx context.Context, t TCPTarget) (Result, string, error) {
	conn, err := p.dial(t.Timeout)(ctx, "tcp", t.Address)
	if err != nil {
		return Failure, err.Error(), nil
	}
	// An error on closing says nothing about the server, which was reached.
	conn.Close()
	return Success, "", nil
}

// dial bounds the time of a connection's making; 0 does not.
func (p *Prober) dial(timeout time.Duration) func(context.Context, string, string) (net.Conn, error) {
	if p.Dial != nil {
		return func(ctx context.Context, network, address string) (net.Conn, error) {
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			return p.Dial(ctx, network, address)
		}
	}
	d := net.Dialer{Timeout: timeout, KeepAlive: -1, Control: shortLinger}
	return d.DialContext
}

// shortLinger keeps frequent probes from filling the machine's table of
// connections in TIME_WAIT: the kubelet's ProbeDialer sets one second as well
// (kubernetes/kubernetes issue 89898).
func shortLinger(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		// A probe works without it, only less sparingly.
		_ = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 1})
	})
}
