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
)

// rulesLock serialises changes of the table: what it holds is read first and
// changed then, and the table comes with the first pod and goes with the last.
const rulesLock = ".rules"

// elements are the members of the table's sets and maps, by the name of the set.
type elements map[string][]nftables.SetElement

// publish makes the pod's elements exactly those of the attachment, and the
// table with its rules when it is missing, in one transaction.
func (h Host) publish(handle *netlink.Handle, a Attachment) error {
	return h.changeRules(func(r *rules, have elements) error {
		if err := r.layOut(have != nil); err != nil {
			return err
		}
		if err := h.ensureGateway(handle); err != nil {
			return err
		}
		want := wanted(a)
		for _, s := range r.sets() {
			remove, add := changes(have[s.Name], want[s.Name], a.UID)
			if err := r.change(s, remove, add); err != nil {
				return err
			}
		}
		return nil
	})
}

// withdraw removes the pod's elements, or the table when no other pod is left.
func (h Host) withdraw(handle *netlink.Handle, uid string) error {
	var udp netip.Addr
	err := h.changeRules(func(r *rules, have elements) error {
		if have == nil {
			return deleteLink(handle, h.gatewayLink())
		}
		udp = udpTarget(have, uid)
		others := slices.ContainsFunc(have[r.pods.Name], func(e nftables.SetElement) bool { return e.Comment != uid })
		if !others {
			r.conn.DelTable(r.table)
			return deleteLink(handle, h.gatewayLink())
		}
		for _, s := range r.sets() {
			remove, _ := changes(have[s.Name], nil, uid)
			if err := r.change(s, remove, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || !udp.IsValid() {
		return err
	}
	return forgetInto(udp)
}

// changeRules hands f what the table holds (nil: there is no table) and commits
// what f adds to the transaction.
func (h Host) changeRules(f func(*rules, elements) error) error {
	lock, err := h.lock(rulesLock)
	if err != nil {
		return fmt.Errorf("lock firewall rules: %w", err)
	}
	defer lock.Close()
	r, err := h.rules()
	if err != nil {
		return fmt.Errorf("open netfilter socket: %w", err)
	}
	// On a goroutine, because closing the socket waits for RCU when something was
	// removed (nft_rcv_nl_event, 10 ms): the change itself is in force after Flush.
	defer func() { go r.conn.CloseLasting() }()
	have, err := r.read()
	if err != nil {
		return fmt.Errorf("read firewall table %s: %w", r.table.Name, err)
	}
	if err := f(r, have); err != nil {
		return fmt.Errorf("write firewall table %s: %w", r.table.Name, err)
	}
	if err := r.conn.Flush(); err != nil {
		return fmt.Errorf("write firewall table %s: %w", r.table.Name, err)
	}
	return nil
}

func (r *rules) read() (elements, error) {
	have := elements{}
	for _, s := range r.sets() {
		// Asked for first because the library hides the errno of the dump.
		if _, err := r.conn.GetSetByName(r.table, s.Name); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		list, err := r.conn.GetSetElements(s)
		if err != nil {
			return nil, err
		}
		have[s.Name] = list
	}
	return have, nil
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

// wanted are the elements of one pod.
func wanted(a Attachment) elements {
	addr := a.Addr.AsSlice()
	element := func(key, value []byte) nftables.SetElement {
		return nftables.SetElement{Key: key, Val: value, Comment: a.UID}
	}
	want := elements{"pods": {element(addr, nil)}}
	if len(a.Ports) > 0 {
		want["hairpin"] = []nftables.SetElement{element(slices.Concat(addr, addr), nil)}
	}
	for _, p := range a.Ports {
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

func (p Port) number() byte {
	if p.protocol() == "UDP" {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
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
	for name, offset := range map[string]int{"ports": 0, "ports_at": 4} {
		for _, e := range have[name] {
			if e.Comment == uid && e.Key[offset] == unix.IPPROTO_UDP {
				addr, _ = netip.AddrFromSlice(e.Val[:4])
			}
		}
	}
	return addr
}
