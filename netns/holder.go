package netns

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The search for a holder only words an error, so it ends in good time on a
// machine with a great many open files.
const holderSearch = 500 * time.Millisecond

// reservers is the beginning of the titles of processes that may hold a
// reservation: a pod's pause, or the podrun that is about to start one.
const reservers = "podrun"

// holder names the process that has the port, such as `nginx: master process (pid 12)`.
func holder(p Port, sockets []socket) string {
	inodes := map[string]bool{}
	for _, s := range sockets {
		if s.inode != 0 {
			inodes[fmt.Sprintf("socket:[%d]", s.inode)] = true
		}
	}
	deadline := time.Now().Add(holderSearch)
	for _, pid := range processes() {
		if time.Now().After(deadline) {
			break
		}
		title := processTitle(pid)
		if holds(pid, inodes, p, strings.HasPrefix(title, reservers)) {
			// "pod default/web" says enough of a pause process, whose title begins with "podrun: ".
			return fmt.Sprintf("%s (pid %d)", strings.TrimPrefix(title, reservers+": "), pid)
		}
	}
	return describe(p, sockets)
}

// processes lists all pids, the oldest first: a server before its workers.
func processes() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var pids []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.SortFunc(pids, cmp.Compare)
	return pids
}

// holds reports whether the process has one of the sockets open, or, where it
// may be a reserver, a socket bound to the port. No file lists the latter.
func holds(pid int, inodes map[string]bool, p Port, reserver bool) bool {
	if len(inodes) == 0 && !reserver {
		return false
	}
	path := fmt.Sprintf("/proc/%d/fd", pid)
	dir, err := os.Open(path)
	if err != nil {
		return false // it ended meanwhile
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, n := range names {
		target, err := os.Readlink(path + "/" + n)
		if err != nil || !strings.HasPrefix(target, "socket:") {
			continue
		}
		if inodes[target] {
			return true
		}
		if fd, err := strconv.Atoi(n); err == nil && reserver && boundTo(pid, fd, p) {
			return true
		}
	}
	return false
}

// boundTo looks at another process's socket through a duplicate of it.
func boundTo(pid, fd int, p Port) bool {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(process)
	own, err := unix.PidfdGetfd(process, fd, 0)
	if err != nil {
		return false
	}
	defer unix.Close(own)
	if protocol, err := unix.GetsockoptInt(own, unix.SOL_SOCKET, unix.SO_PROTOCOL); err != nil || protocol != int(p.number()) {
		return false
	}
	name, err := unix.Getsockname(own)
	if err != nil {
		return false
	}
	addr, ok := addrPort(name)
	if !ok || addr.Port() != p.HostPort || !p.covers(addr.Addr()) || !ownNamespace(own) {
		return false
	}
	if addr.Addr().Is4() || p.family() == ipv6 {
		return true
	}
	only, err := unix.GetsockoptInt(own, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
	return err == nil && only == 0
}

func addrPort(name unix.Sockaddr) (netip.AddrPort, bool) {
	switch n := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(n.Addr), uint16(n.Port)), true
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(n.Addr), uint16(n.Port)), true
	}
	return netip.AddrPort{}, false
}

// ownNamespace tells whether a socket is of this thread's network namespace: the
// same port of another namespace, a container's podrun for one, is another port.
func ownNamespace(socket int) bool {
	ns, err := unix.IoctlRetInt(socket, unix.SIOCGSKNS)
	if err != nil {
		return false
	}
	defer unix.Close(ns)
	var its, own unix.Stat_t
	if unix.Fstat(ns, &its) != nil || unix.Stat("/proc/thread-self/ns/net", &own) != nil {
		return false
	}
	return its.Dev == own.Dev && its.Ino == own.Ino
}

// processTitle is the command line as ps prints it, shortened, or else the name
// of the program.
func processTitle(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	title := printable(bytes.ReplaceAll(bytes.TrimRight(line, "\x00"), []byte{0}, []byte{' '}))
	if title == "" {
		line, _ = os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		title = printable(line)
	}
	const most = 80
	if len(title) > most {
		title = title[:most] + "..."
	}
	return title
}

// printable keeps another process's choice of title from writing to the terminal
// as it likes.
func printable(b []byte) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(b)))
}
