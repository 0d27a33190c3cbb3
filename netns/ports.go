package netns

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"podrun/step"
)

// PortError says that a host port is taken.
type PortError struct {
	Port   Port
	Holder string // the process with its pid, or why there is none to name; may be empty
}

func (e *PortError) Error() string {
	if e.Holder == "" {
		return fmt.Sprintf("host port %v is in use", e.Port)
	}
	return fmt.Sprintf("host port %v is held by %s", e.Port, e.Holder)
}

// Unwrap makes the error one of EADDRINUSE.
func (e *PortError) Unwrap() error { return unix.EADDRINUSE }

// Reserve takes the ports for a pod by binding a socket to each, in their order.
// Connections are led past them by the rules, so they do not listen, except for
// those of TCP that Relay serves. A reservation lasts as long as somebody keeps its
// file open; the files are close-on-exec. When a port is taken, the error is a
// *PortError and nothing is reserved.
//
// Those that do not listen lack SO_REUSEADDR, so a bind to all addresses conflicts with a
// socket on any of them, and two pods can never share a port. The kernel in turn
// gives a reserved port to no outgoing connection. A host port within the
// ephemeral range (net.ipv4.ip_local_port_range, 32768 to 60999) can be taken
// by an outgoing connection of the machine first; the error then names its
// process. Setting net.ipv4.ip_local_reserved_ports prevents that.
func Reserve(ports []Port) ([]*os.File, error) {
	var files []*os.File
	for _, p := range ports {
		f, err := reserve(p)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func reserve(p Port) (*os.File, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	f, err := bind(p)
	if !errors.Is(err, unix.EADDRINUSE) {
		return f, err
	}
	sockets := socketsOn(p)
	if destroyTimeWait(p, sockets) {
		if f, err = bind(p); !errors.Is(err, unix.EADDRINUSE) {
			return f, err
		}
	}
	return nil, &PortError{Port: p, Holder: holder(p, sockets)}
}

func bind(p Port) (*os.File, error) {
	defer step.Change("reserve port")()
	kind := unix.SOCK_STREAM
	if p.protocol() == "UDP" {
		kind = unix.SOCK_DGRAM
	}
	domain, to := p.endpoint()
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, int(p.number()))
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, fmt.Errorf("reserve host port %v: this kernel has no %s (it would be in the module %s)", p, p.protocol(), strings.ToLower(p.protocol()))
	}
	if err != nil {
		return nil, fmt.Errorf("reserve host port %v: %w", p, os.NewSyscallError("socket", err))
	}
	f := os.NewFile(uintptr(fd), "host port "+p.String())
	if kind == unix.SOCK_DGRAM {
		// Datagrams that arrive while no rule leads them away are never read; the
		// kernel raises this to its minimum of about 2 KiB.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
			f.Close()
			return nil, fmt.Errorf("reserve host port %v: %w", p, os.NewSyscallError("setsockopt", err))
		}
	}
	if err = bindTo(fd, to, p); err == nil {
		return f, nil
	}
	f.Close()
	if domain == unix.AF_INET6 && !HasIPv6() {
		return nil, fmt.Errorf("reserve host port %v: this machine has no IPv6", p)
	}
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil, fmt.Errorf("reserve host port %v: this machine does not have the address %v", p, p.HostIP)
	}
	return nil, fmt.Errorf("reserve host port %v: %w", p, os.NewSyscallError("bind", err))
}

// bindTo binds the socket, which listens at once if a relay will read it: then the
// ends of relayed connections need not be in the way of the next pod's, and still
// nobody gets past it.
func bindTo(fd int, to unix.Sockaddr, p Port) error {
	if p.family() == ipv6 {
		// The IPv4 half is a reservation of its own.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if !p.Relayed() || p.protocol() != "TCP" {
		return unix.Bind(fd, to)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(fd, to); err != nil {
		return err
	}
	return unix.Listen(fd, unix.SOMAXCONN)
}

// endpoint is what a reservation is bound to.
func (p Port) endpoint() (domain int, _ unix.Sockaddr) {
	if p.family() == ipv6 {
		return unix.AF_INET6, &unix.SockaddrInet6{Port: int(p.HostPort), Addr: p.HostIP.As16()}
	}
	to := &unix.SockaddrInet4{Port: int(p.HostPort)}
	if !p.everywhere() {
		to.Addr = p.HostIP.As4()
	}
	return unix.AF_INET, to
}

// covers reports whether a socket on addr is in the way of the port. One on :: is
// in the way of IPv4 too, unless it was told not to be, which nothing shows.
func (p Port) covers(addr netip.Addr) bool {
	addr = addr.Unmap()
	if familyOf(addr) != p.family() {
		return addr == netip.IPv6Unspecified()
	}
	return p.everywhere() || addr.IsUnspecified() || addr == p.HostIP
}
