package netns

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// socket is one line of /proc/net/tcp and its like. Those that are bound and
// neither listen nor are connected have none for TCP; a reservation is such one.
type socket struct {
	local, remote netip.AddrPort
	timeWait      bool
	inode         uint64 // 0: no process has it open
}

const stateTimeWait = "06"

// socketsOn lists the sockets that are in the way of the port.
func socketsOn(p Port) []socket {
	var found []socket
	base := "/proc/thread-self/net/" + strings.ToLower(p.protocol())
	for _, path := range []string{base, base + "6"} {
		f, err := os.Open(path)
		if err != nil {
			continue // no IPv6
		}
		for _, s := range parseSockets(f) {
			if s.local.Port() == p.HostPort && p.covers(s.local.Addr()) {
				found = append(found, s)
			}
		}
		f.Close()
	}
	return found
}

// parseSockets reads the format of /proc/net/{tcp,udp}{,6}, whose fields are
// sl local_address rem_address st queues tr retrnsmt uid timeout inode
// (proc_net_tcp.rst in the kernel's documentation). Lines that are none, such as
// the heading, are passed over.
func parseSockets(r io.Reader) []socket {
	var list []socket
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		local, ok1 := parseEndpoint(fields[1])
		remote, ok2 := parseEndpoint(fields[2])
		inode, err := strconv.ParseUint(fields[9], 10, 64)
		if !ok1 || !ok2 || err != nil {
			continue
		}
		list = append(list, socket{local, remote, fields[3] == stateTimeWait, inode})
	}
	return list
}

// parseEndpoint reads an address as the kernel prints it: 32-bit words in the
// machine's byte order (little-endian on all that podrun runs on), then the port.
func parseEndpoint(s string) (netip.AddrPort, bool) {
	text, portText, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(text)
	port, portErr := strconv.ParseUint(portText, 16, 16)
	if err != nil || portErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		raw[i], raw[i+1], raw[i+2], raw[i+3] = raw[i+3], raw[i+2], raw[i+1], raw[i]
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr, uint16(port)), ok
}

// destroyTimeWait clears the way when nothing but closed connections in TIME_WAIT
// (up to 60 s after a server of the machine was stopped) blocks the port. Servers
// pass them with SO_REUSEADDR, which a reservation must not have. Once the rules
// lead the port into a pod, those sockets would receive nothing more anyway.
func destroyTimeWait(p Port, sockets []socket) bool {
	for _, s := range sockets {
		if !s.timeWait {
			return false
		}
	}
	for _, s := range sockets {
		local, remote := net.TCPAddrFromAddrPort(s.local), net.TCPAddrFromAddrPort(s.remote)
		if netlink.SocketDestroy(local, remote) != nil {
			return false // CONFIG_INET_DIAG_DESTROY is off
		}
	}
	return len(sockets) > 0
}

// describe says why a port without a holding process is taken.
func describe(p Port, sockets []socket) string {
	for _, s := range sockets {
		if s.timeWait {
			return fmt.Sprintf("a closed connection of %v that the kernel keeps for up to a minute (TIME_WAIT)", s.local)
		}
	}
	return ""
}
