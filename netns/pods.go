package netns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"podrun/firewall"
	"podrun/step"
)

// rulesLock serialises changes of the table: what it holds is read first and
// changed then, and the table comes with the first pod and goes with the last.
const rulesLock = ".rules"

// elements are the members of the table's sets and maps, by the name of the set.
type elements map[string][]nftables.SetElement

// publish makes the pod's elements exactly those of the attachment, and the
// tables with their rules where they are missing, in one transaction.
func (h Host) publish(handle *netlink.Handle, a Attachment, thorough bool) error {
	admit := func(conn *nftables.Conn) error {
		// A table that its owner has locked is no reason to fail: up names it.
		_ = firewall.Admit(conn, h.prefix(), tableName(h.Instance))
		return nil
	}
	return h.changeRules(admit, func(r *rules, have elements) error {
		want := wanted(a, r.family)
		if want == nil {
			return r.withdraw(have, a.UID)
		}
		r.thorough = thorough
		if err := r.layOut(have != nil); err != nil {
			return err
		}
		if err := h.ensureGateway(handle, r.gateway); err != nil {
			return err
		}
		for _, s := range r.sets() {
			remove, add := changes(have[s.Name], want[s.Name], a.UID)
			if err := r.change(s, remove, add); err != nil {
				return err
			}
		}
		return nil
	})
}

// withdraw removes the pod's elements, and the tables when no other pod is left.
func (h Host) withdraw(handle *netlink.Handle, uid string) error {
	var udp []netip.Addr
	last := false
	retract := func(conn *nftables.Conn) error {
		if !last {
			return nil
		}
		return firewall.Retract(conn, tableName(h.Instance))
	}
	err := h.changeRules(retract, func(r *rules, have elements) error {
		if to := udpTarget(have, uid); to.IsValid() {
			udp = append(udp, to)
		}
		if r.family == ipv4 && !r.others(have, uid) {
			last = true
			if err := deleteLink(handle, h.gatewayLink()); err != nil {
				return err
			}
		}
		return r.withdraw(have, uid)
	})
	for _, addr := range udp {
		err = errors.Join(err, forgetInto(addr))
	}
	return err
}

// others tells whether the table has pods but this one.
func (r *rules) others(have elements, uid string) bool {
	return slices.ContainsFunc(have[r.pods.Name], func(e nftables.SetElement) bool { return e.Comment != uid })
}

// withdraw removes the pod's elements, or the table with the last pod.
func (r *rules) withdraw(have elements, uid string) error {
	switch {
	case have == nil:
		return nil
	case !r.others(have, uid):
		r.conn.DelTable(r.table)
		return nil
	}
	for _, s := range r.sets() {
		remove, _ := changes(have[s.Name], nil, uid)
		if err := r.change(s, remove, nil); err != nil {
			return err
		}
	}
	return nil
}

// changeRules hands f what the table of each family holds (nil: there is no
// table) and commits what f adds to the transaction. Then comes after, for what is
// in other tables.
func (h Host) changeRules(after func(*nftables.Conn) error, f func(*rules, elements) error) error {
	lock, err := h.lock(rulesLock)
	if err != nil {
		return fmt.Errorf("lock firewall rules: %w", err)
	}
	defer lock.Close()
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return fmt.Errorf("open netfilter socket: %w", err)
	}
	// On a goroutine, because closing the socket waits for RCU when something was
	// removed (nft_rcv_nl_event, 10 ms): the change itself is in force after Flush.
	defer func() { go conn.CloseLasting() }()
	for _, family := range []*family{ipv4, ipv6} {
		r := h.rules(conn, family)
		have, err := r.read()
		if err != nil {
			return fmt.Errorf("read firewall table %s: %w", r.table.Name, err)
		}
		if err := f(r, have); err != nil {
			return fmt.Errorf("write firewall table %s: %w", r.table.Name, err)
		}
	}
	done := step.Change("change rules")
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("write firewall table %s: %w", tableName(h.Instance), err)
	}
	done()
	return after(conn)
}

func (r *rules) read() (elements, error) {
	have := elements{}
	for _, s := range r.sets() {
		list, err := r.conn.GetSetElements(s)
		if err != nil {
			// Asked again because the library hides the errno of the dump.
			if _, why := r.conn.GetSetByName(r.table, s.Name); isAbsent(why) {
				return nil, nil
			}
			return nil, err
		}
		have[s.Name] = list
	}
	return have, nil
}

// isAbsent is what the kernel says of a table that is not there, or of a family
// that it was built without.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP)
}

// change puts elements out of and into a set.
func (r *rules) change(s *nftables.Set, remove, add []nftables.SetElement) error {
	if len(remove) > 0 {
		if err := r.conn.SetDeleteElements(s, remove); err != nil {
			return err
		}
	}
	if len(add) > 0 {
		return r.conn.SetAddElements(s, add)
	}
	return nil
}

// wanted are the elements of one pod in the table of the family; nil where it has
// no address of that family.
func wanted(a Attachment, f *family) elements {
	if !a.addr(f).IsValid() {
		return nil
	}
	addr := a.addr(f).AsSlice()
	element := func(key, value []byte) nftables.SetElement {
		return nftables.SetElement{Key: key, Val: value, Comment: a.UID}
	}
	want := elements{"pods": {element(addr, nil)}}
	for _, p := range a.Ports {
		if p.family() != f {
			continue
		}
		want["hairpin"] = []nftables.SetElement{element(slices.Concat(addr, addr), nil)}
		key := slices.Concat([]byte{p.number(), 0, 0, 0}, padded(p.HostPort))
		value := slices.Concat(addr, padded(p.ContainerPort))
		if p.everywhere() {
			want["ports"] = append(want["ports"], element(key, value))
		} else {
			want["ports_at"] = append(want["ports_at"], element(slices.Concat(p.HostIP.AsSlice(), key), value))
		}
	}
	return want
}

// number is the protocol's, 0 for an unknown one.
func (p Port) number() byte {
	switch p.protocol() {
	case "TCP":
		return unix.IPPROTO_TCP
	case "UDP":
		return unix.IPPROTO_UDP
	case "SCTP":
		return unix.IPPROTO_SCTP
	}
	return 0
}

// padded is a port as it lies in a register.
func padded(port uint16) []byte {
	return append(binary.BigEndian.AppendUint16(nil, port), 0, 0)
}

// changes compares what a set holds with what it should hold for the pod. An
// element of another pod under a key that this pod wants is a leftover: the pod
// holds the address by its claim and the port by its reservation, so nobody else
// does.
func changes(have, want []nftables.SetElement, uid string) (remove, add []nftables.SetElement) {
	for _, e := range have {
		i := slices.IndexFunc(want, func(w nftables.SetElement) bool { return bytes.Equal(w.Key, e.Key) })
		if i < 0 && e.Comment != uid {
			continue
		}
		if i < 0 || e.Comment != uid || !bytes.Equal(want[i].Val, e.Val) {
			remove = append(remove, e)
		}
	}
	for _, w := range want {
		kept := slices.ContainsFunc(have, func(e nftables.SetElement) bool {
			return e.Comment == uid && bytes.Equal(w.Key, e.Key) && bytes.Equal(w.Val, e.Val)
		})
		if !kept {
			add = append(add, w)
		}
	}
	return remove, add
}

// udpTarget is the address into which the pod's UDP host ports lead, if it has any.
func udpTarget(have elements, uid string) (addr netip.Addr) {
	for _, name := range []string{"ports", "ports_at"} {
		for _, e := range have[name] {
			size := len(e.Val) - 4 // address and padded port
			protocol := 0
			if name == "ports_at" {
				protocol = size
			}
			if e.Comment == uid && e.Key[protocol] == unix.IPPROTO_UDP {
				addr, _ = netip.AddrFromSlice(e.Val[:size])
			}
		}
	}
	return addr
}
