package firewall

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"unsafe"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The older iptables keeps its rules out of nftables' sight, in one block a table
// (linux/netfilter_ipv4/ip_tables.h and its like for IPv6). It is read only where
// there is such a table: asking for one would make it.

// blob is the table filter of one family.
type blob struct {
	*layout
	data    []byte
	forward int // where its chain begins; it ends with the policy
	chains  []string
}

// layout is where the parts of a rule are.
type layout struct {
	names                       string // file of the tables that there are
	level                       int    // of the socket options
	program, family             string
	size                        int // of a rule's address; masks follow in the same size
	in, out, inMask, outMask    int
	protocol, flags, inverted   int
	target, next, length, jumps int // jumps is the flag of one that does not come back
	protocolFlag                byte
}

var layouts = map[bool]*layout{
	true: {
		names: "ip_tables_names", level: unix.SOL_IP, program: "iptables-legacy", family: "ip", size: 4,
		in: 16, out: 32, inMask: 48, outMask: 64, protocol: 80, flags: 82, inverted: 83, target: 88, next: 90, length: 112, jumps: 2,
	},
	false: {
		names: "ip6_tables_names", level: unix.SOL_IPV6, program: "ip6tables-legacy", family: "ip6", size: 16,
		in: 64, out: 80, inMask: 96, outMask: 112, protocol: 128, flags: 131, inverted: 132, target: 140, next: 142, length: 168, jumps: 4, protocolFlag: 1,
	},
}

const (
	optionInfo    = 64 // IPT_SO_GET_INFO
	optionEntries = 65 // IPT_SO_GET_ENTRIES
	hookForward   = 2
	tableFilter   = "filter"

	invertedIn, invertedOut, invertedFrom, invertedTo, invertedProtocol = 0x01, 0x02, 0x08, 0x10, 0x40
)

// judgeLegacy is judge for the older iptables.
func (n Network) judgeLegacy() ([]Obstacle, error) {
	var found []Obstacle
	for i, subnet := range n.Subnets {
		b, err := readLegacy(layouts[subnet.Addr().Is4()])
		if err != nil {
			return found, fmt.Errorf("read the rules of %s: %w", layouts[subnet.Addr().Is4()].program, err)
		}
		if b == nil {
			continue
		}
		var names []string
		for _, p := range n.packets(i) {
			if b.walk(b.forward, p, 0) == dropped {
				names = append(names, p.name)
			}
		}
		if len(names) > 0 {
			found = append(found, Obstacle{
				Table: b.family + " filter of " + b.program, Chain: "FORWARD", What: list(names), Remedy: n.legacyRemedy(b, subnet),
			})
		}
	}
	return found, nil
}

func (n Network) legacyRemedy(b *blob, subnet netip.Prefix) []string {
	commands := n.iptables(b.program)
	for _, c := range b.chains {
		switch c {
		case "ufw-user-forward", "ufw6-user-forward":
			return ufw(subnet)
		case dockerUser:
			for i := range commands {
				commands[i] = strings.Replace(commands[i], "FORWARD", dockerUser, 1)
			}
		}
	}
	return commands
}

// readLegacy reads the table; nil: there is none.
func readLegacy(l *layout) (*blob, error) {
	names, err := os.ReadFile("/proc/thread-self/net/" + l.names)
	if err != nil || !bytes.Contains(append([]byte("\n"), names...), []byte("\n"+tableFilter+"\n")) {
		return nil, nil
	}
	domain := unix.AF_INET
	if l.level == unix.SOL_IPV6 {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	// struct ipt_getinfo: name, valid_hooks, hook_entry[5], underflow[5], num_entries, size
	info := make([]byte, 32+4*13)
	copy(info, tableFilter)
	if err := getOption(fd, l.level, optionInfo, info); err != nil {
		return nil, err
	}
	word := func(n int) int { return int(binary.NativeEndian.Uint32(info[32+4*n:])) }
	size := word(12)
	// struct ipt_get_entries: name, size, and the rules, aligned to 8 bytes
	const head = 40
	entries := make([]byte, head+size)
	copy(entries, tableFilter)
	binary.NativeEndian.PutUint32(entries[32:], uint32(size))
	if err := getOption(fd, l.level, optionEntries, entries); err != nil {
		return nil, err
	}
	b := &blob{layout: l, data: entries[head:], forward: word(1 + hookForward)}
	return b, b.check()
}

func getOption(fd, level, option int, into []byte) error {
	size := uint32(len(into))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&into[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return os.NewSyscallError("getsockopt", errno)
	}
	return nil
}

// entry is one rule; ok is false behind the last.
func (b *blob) entry(at int) (e []byte, ok bool) {
	if at < 0 || at+b.length > len(b.data) {
		return nil, false
	}
	size := int(binary.NativeEndian.Uint16(b.data[at+b.next:]))
	target := int(binary.NativeEndian.Uint16(b.data[at+b.target:]))
	if size < target+32 || target < b.length || at+size > len(b.data) {
		return nil, false
	}
	return b.data[at : at+size], true
}

// check walks over all rules once, and notes the names of chains.
func (b *blob) check() error {
	at := 0
	for {
		e, ok := b.entry(at)
		if !ok {
			break
		}
		if name, data := b.targetOf(e); name == "ERROR" {
			b.chains = append(b.chains, text(data))
		}
		at += len(e)
	}
	if at != len(b.data) {
		return errors.New("the kernel's rules have a form that is not known")
	}
	return nil
}

func (b *blob) targetOf(e []byte) (name string, data []byte) {
	t := e[binary.NativeEndian.Uint16(e[b.target:]):]
	return text(t[2:31]), t[32:]
}

func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

func (b *blob) walk(at int, p packet, depth int) verdict {
	if depth > maxDepth {
		return accepted
	}
	for {
		e, ok := b.entry(at)
		if !ok {
			return passed
		}
		at += len(e)
		matches, unsure := b.matches(e, p)
		if !matches {
			continue
		}
		name, data := b.targetOf(e)
		if name != "" || len(data) < 4 {
			switch v := target(name); {
			case v == nil || name == "ERROR":
			case v.Kind == expr.VerdictDrop && !unsure:
				return dropped
			case v.Kind != expr.VerdictDrop:
				return accepted
			}
			continue
		}
		switch to := int(int32(binary.NativeEndian.Uint32(data))); {
		case to == at: // no target
		case to >= 0:
			v := b.walk(to, p, depth+1)
			if v == accepted || v == dropped && !unsure {
				return v
			}
			if e[b.flags]&byte(b.jumps) != 0 && !unsure {
				return passed
			}
		case to == -5 && !unsure: // RETURN
			return passed
		case to == -1 && !unsure: // DROP
			return dropped
		case to != -5 && to != -1:
			return accepted
		}
	}
}

// matches tells whether a rule is for the packet, and whether that is not sure.
func (b *blob) matches(e []byte, p packet) (matches, unsure bool) {
	inverted, s := e[b.inverted], b.size
	for _, m := range []struct {
		want, mask, have []byte
		flag             byte
	}{
		{e[0:s], e[2*s : 3*s], p.from.AsSlice(), invertedFrom},
		{e[s : 2*s], e[3*s : 4*s], p.to.AsSlice(), invertedTo},
		{e[b.in : b.in+16], e[b.inMask : b.inMask+16], linkName(p.in), invertedIn},
		{e[b.out : b.out+16], e[b.outMask : b.outMask+16], linkName(p.out), invertedOut},
	} {
		if equalMasked(m.want, m.have, m.mask) == (inverted&m.flag != 0) {
			return false, false
		}
	}
	protocol := binary.NativeEndian.Uint16(e[b.protocol:])
	if protocol != 0 && e[b.flags]&b.protocolFlag == b.protocolFlag && (protocol == unix.IPPROTO_TCP) == (inverted&invertedProtocol != 0) {
		return false, false
	}
	target := int(binary.NativeEndian.Uint16(e[b.target:]))
	for at := b.length; at+32 <= target; {
		m := e[at:target]
		size := int(binary.NativeEndian.Uint16(m))
		if size < 32 || size > len(m) {
			return true, true
		}
		ok, known := matchLegacy(text(m[2:31]), m[31], m[32:size], p)
		if !ok {
			return false, false
		}
		unsure = unsure || !known
		at += size
	}
	return true, unsure
}

func equalMasked(a, b, mask []byte) bool {
	for i := range a {
		if (a[i]^b[i])&mask[i] != 0 {
			return false
		}
	}
	return true
}

// matchLegacy understands matches of ports and of the connection's state (struct
// xt_tcp, struct xt_conntrack_mtinfo3, struct xt_state_info).
func matchLegacy(name string, revision byte, data []byte, p packet) (ok, known bool) {
	state := p.legacyState()
	switch {
	case name == "comment":
		return true, true
	case name == "state" && len(data) >= 4:
		return binary.NativeEndian.Uint32(data)&state != 0, true
	case name == "tcp" && len(data) >= 12:
		port := func(at int) uint16 { return binary.NativeEndian.Uint16(data[at:]) }
		return portsMatch([2]uint16{port(0), port(2)}, [2]uint16{port(4), port(6)}, data[11]), data[9] == 0
	case name == "conntrack" && revision == 3 && len(data) >= 154:
		half := func(at int) uint32 { return uint32(binary.NativeEndian.Uint16(data[at:])) }
		flags, inverted, mask := half(146), half(148), half(150)
		if flags == conntrackState {
			return (mask&state != 0) != (inverted&conntrackState != 0), true
		}
	}
	return true, false
}
