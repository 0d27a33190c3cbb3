package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func serveTCP(args []string) error {
	f := flags("tcp")
	address := f.String("listen", ":7000", "")
	f.Parse(args)
	l, err := listen("tcp", *address)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go converse(c, c.RemoteAddr().String())
	}
}

func converse(c io.ReadWriteCloser, from string) {
	defer c.Close()
	fmt.Println("connection from", from)
	fmt.Fprintln(c, "you are", from)
	io.Copy(c, c)
}

func serveUDP(args []string) error {
	f := flags("udp")
	address := f.String("listen", ":7001", "")
	f.Parse(args)
	c, err := net.ListenPacket(network("udp", *address), *address)
	if err != nil {
		return err
	}
	fmt.Println("listening udp", c.LocalAddr())
	for buf := make([]byte, 64<<10); ; {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return err
		}
		fmt.Println("datagram from", from)
		c.WriteTo(fmt.Appendf(nil, "%s: %s", from, buf[:n]), from)
	}
}

// socketSCTP is a one-to-one socket, which is used as one of TCP.
func socketSCTP(family int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	return fd, os.NewSyscallError("socket", err)
}

// sctpAddress reads host:port; without a host it is every address.
func sctpAddress(text string) (unix.Sockaddr, int, error) {
	if strings.HasPrefix(text, ":") {
		text = "[::]" + text
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return nil, 0, err
	}
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, unix.AF_INET, nil
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}, unix.AF_INET6, nil
}

func serveSCTP(args []string) error {
	f := flags("sctp")
	text := f.String("listen", ":7002", "")
	f.Parse(args)
	address, family, err := sctpAddress(*text)
	if err != nil {
		return err
	}
	fd, err := socketSCTP(family)
	if err != nil {
		return err
	}
	if err := os.NewSyscallError("bind", unix.Bind(fd, address)); err != nil {
		return err
	}
	if err := os.NewSyscallError("listen", unix.Listen(fd, 16)); err != nil {
		return err
	}
	fmt.Println("listening sctp", *text)
	for {
		conn, from, err := unix.Accept(fd)
		if err != nil {
			return os.NewSyscallError("accept", err)
		}
		go converse(os.NewFile(uintptr(conn), "sctp"), sockaddrText(from))
	}
}

func sockaddrText(a unix.Sockaddr) string {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)).String()
	}
	return "?"
}

func dialSCTP(text string, timeout time.Duration) (io.ReadWriteCloser, error) {
	address, family, err := sctpAddress(text)
	if err != nil {
		return nil, err
	}
	fd, err := socketSCTP(family)
	if err != nil {
		return nil, err
	}
	limit := unix.NsecToTimeval(timeout.Nanoseconds())
	for _, option := range []int{unix.SO_SNDTIMEO, unix.SO_RCVTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &limit); err != nil {
			return nil, os.NewSyscallError("setsockopt", err)
		}
	}
	if err := unix.Connect(fd, address); err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	return os.NewFile(uintptr(fd), "sctp"), nil
}

func send(args []string) error {
	f := flags("send")
	timeout := f.Duration("timeout", 3*time.Second, "")
	f.Parse(args)
	network, address, text := f.Arg(0), f.Arg(1), f.Arg(2)
	if network == "sctp" {
		c, err := dialSCTP(address, *timeout)
		if err != nil {
			return err
		}
		return exchange(c, text, 2)
	}
	c, err := net.DialTimeout(network, address, *timeout)
	if err != nil {
		return err
	}
	c.SetDeadline(time.Now().Add(*timeout))
	if network == "udp" {
		return exchange(c, text, 1)
	}
	return exchange(c, text, 2)
}

// exchange sends a line and prints as many as are to come back.
func exchange(c io.ReadWriteCloser, text string, lines int) error {
	defer c.Close()
	if _, err := fmt.Fprintln(c, text); err != nil {
		return err
	}
	for in := bufio.NewReader(c); lines > 0; lines-- {
		line, err := in.ReadString('\n')
		fmt.Print(line)
		if err != nil {
			return err
		}
	}
	return nil
}
