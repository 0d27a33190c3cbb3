package netns

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Watch calls changed, from goroutines of its own, soon after somebody has removed
// or switched off something of the attachment, until ctx ends. It tells that
// something may be missing, not what: [Host.Missing] does. What the kernel tells
// nobody (the sysctls of one link) has to be looked for.
//
// The kernel tells every listener of everything. A filter on the socket lets only
// removals through, so that the pods of a machine do not wake each other's
// monitors whenever one of them comes.
func (h Host) Watch(ctx context.Context, a Attachment, changed func()) error {
	links := listener{
		protocol: unix.NETLINK_ROUTE,
		groups: group(unix.RTNLGRP_LINK) | group(unix.RTNLGRP_IPV4_IFADDR) | group(unix.RTNLGRP_IPV6_IFADDR) |
			group(unix.RTNLGRP_IPV4_ROUTE) | group(unix.RTNLGRP_IPV6_ROUTE) |
			group(unix.RTNLGRP_IPV4_NETCONF) | group(unix.RTNLGRP_IPV6_NETCONF),
		filter: routeFilter,
	}
	names := [][]byte{[]byte(h.linkName(a.UID) + "\x00"), []byte(h.gatewayLink() + "\x00")}
	for _, addr := range a.addrs() {
		names = append(names, addr.AsSlice())
	}
	if a.Addr6.IsValid() { // Gateway is that of all instances; its message names the link
		names = append(names, h.Gateway6().AsSlice())
	}
	links.concerns = func(message []byte) bool {
		return typeOf(message) == unix.RTM_NEWNETCONF || containsAny(message, names)
	}
	rules := listener{protocol: unix.NETLINK_NETFILTER, groups: group(unix.NFNLGRP_NFTABLES), filter: tableFilter}
	table, uid := []byte(tableName(h.Instance)), []byte(a.UID)
	rules.concerns = func(message []byte) bool {
		return bytes.Contains(message, table) && (typeOf(message) != tableMessage(unix.NFT_MSG_DELSETELEM) || bytes.Contains(message, uid))
	}
	return errors.Join(links.listen(ctx, changed), rules.listen(ctx, changed))
}

// listener is one socket that hears what the kernel tells of changes.
type listener struct {
	protocol int
	groups   uint32
	filter   []unix.SockFilter
	concerns func(message []byte) bool
}

func group(n int) uint32 { return 1 << (n - 1) }

func typeOf(message []byte) uint16 {
	if len(message) < unix.SizeofNlMsghdr {
		return 0
	}
	return binary.NativeEndian.Uint16(message[4:])
}

func tableMessage(n uint16) uint16 { return unix.NFNL_SUBSYS_NFTABLES<<8 | n }

func containsAny(message []byte, names [][]byte) bool {
	for _, n := range names {
		if bytes.Contains(message, n) {
			return true
		}
	}
	return false
}

func (l listener) listen(ctx context.Context, changed func()) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, l.protocol)
	if err != nil {
		return fmt.Errorf("watch the machine's network: %w", os.NewSyscallError("socket", err))
	}
	program := unix.SockFprog{Len: uint16(len(l.filter)), Filter: &l.filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		unix.Close(fd)
		return fmt.Errorf("watch the machine's network: %w", os.NewSyscallError("setsockopt", err))
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: l.groups}); err != nil {
		unix.Close(fd)
		return fmt.Errorf("watch the machine's network: %w", os.NewSyscallError("bind", err))
	}
	socket := os.NewFile(uintptr(fd), "netlink")
	context.AfterFunc(ctx, func() { socket.Close() })
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	go raw.Read(func(fd uintptr) bool { // until it is closed
		if l.heard(int(fd)) {
			changed()
		}
		return false
	})
	return nil
}

// heard reads what has come, and tells whether it concerns the attachment. Where
// the kernel had more to tell than there was room for, it may.
func (l listener) heard(fd int) (concerns bool) {
	var none [0]byte
	for {
		size, _, err := unix.Recvfrom(fd, none[:], unix.MSG_PEEK|unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS):
			concerns = true
			continue
		case err != nil:
			return concerns
		}
		buf := make([]byte, size)
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return concerns || errors.Is(err, unix.ENOBUFS)
		}
		concerns = concerns || l.concerns(buf[:n])
	}
}

// The filters are programs for the kernel's packet filter, which reads numbers
// as they come from a network: those of a netlink message are in the machine's
// order. One socket buffer may hold several messages; the first one counts.
const (
	atType   = 4
	atFlags  = unix.SizeofNlMsghdr + 8
	atChange = unix.SizeofNlMsghdr + 12
	// A netconf message names its link in the first attribute.
	atNetconfLink = unix.SizeofNlMsghdr + 8
	everything    = 0xffffffff
)

func wire16(n uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, n)))
}

func wire32(n uint32) uint32 {
	return binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, n))
}

func loadHalf(at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: at}
}

func loadWord(at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
}

// ifEqual and ifBits skip so many instructions when it is so, and else the others.
func ifEqual(k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
}

func ifBits(k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: k, Jt: yes, Jf: no}
}

func result(k uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
}

// routeFilter passes removals of links, addresses and routes, links that are
// switched off, and settings of all links at once, such as ip_forward.
var routeFilter = []unix.SockFilter{
	0: loadHalf(atType),
	1: ifEqual(wire16(unix.RTM_DELLINK), 11, 0),
	2: ifEqual(wire16(unix.RTM_DELADDR), 10, 0),
	3: ifEqual(wire16(unix.RTM_DELROUTE), 9, 0),
	4: ifEqual(wire16(unix.RTM_NEWNETCONF), 6, 0),
	5: ifEqual(wire16(unix.RTM_NEWLINK), 0, 8),
	// A link that has just been made is not up either: all of it has changed.
	6:  loadWord(atFlags),
	7:  ifBits(wire32(unix.IFF_UP), 6, 0),
	8:  loadWord(atChange),
	9:  ifEqual(everything, 4, 0),
	10: ifBits(wire32(unix.IFF_UP), 2, 3),
	11: loadWord(atNetconfLink),
	12: ifEqual(everything, 0, 1), // NETCONFA_IFINDEX_ALL
	13: result(everything),
	14: result(0),
}

// tableFilter passes removals from firewall tables.
var tableFilter = []unix.SockFilter{
	0: loadHalf(atType),
	1: ifEqual(wire16(tableMessage(unix.NFT_MSG_DELTABLE)), 4, 0),
	2: ifEqual(wire16(tableMessage(unix.NFT_MSG_DELCHAIN)), 3, 0),
	3: ifEqual(wire16(tableMessage(unix.NFT_MSG_DELRULE)), 2, 0),
	4: ifEqual(wire16(tableMessage(unix.NFT_MSG_DELSET)), 1, 0),
	5: ifEqual(wire16(tableMessage(unix.NFT_MSG_DELSETELEM)), 0, 1),
	6: result(everything),
	7: result(0),
}
