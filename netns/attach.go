package netns

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Attach connects the pod's namespace: loopback, link, addresses, routes, the
// settings that a pod starts with, and the rules. Run again it completes a
// half-made attachment and brings a complete one up to date, which is also how
// rules come back after somebody flushed the ruleset. After an error call
// Detach. Safe for any number of pods in any number of processes; two calls for
// one pod at a time are not.
func (h Host) Attach(a Attachment) error {
	if err := h.check(a); err != nil {
		return fmt.Errorf("attach pod network: %w", err)
	}
	if _, err := h.attach(a, false); err != nil {
		return fmt.Errorf("attach pod network: %w", err)
	}
	return nil
}

// Mend is Attach for a pod that runs: it makes again what [Host.Missing] names,
// and leaves alone what is inside of the pod's namespace, which the pod may have
// changed (a VPN its default route), unless its link had to be made anew: then
// anew is true, and what else was set in the namespace for that link is gone.
func (h Host) Mend(a Attachment) (anew bool, err error) {
	if err = h.check(a); err == nil {
		anew, err = h.attach(a, true)
	}
	if err != nil {
		return anew, fmt.Errorf("mend pod network: %w", err)
	}
	return anew, nil
}

func (h Host) attach(a Attachment, mend bool) (anew bool, err error) {
	target, err := os.Open(a.NetNS)
	if err != nil {
		return false, fmt.Errorf("open network namespace: %w", err)
	}
	defer target.Close()
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return false, fmt.Errorf("open netlink socket: %w", err)
	}
	defer handle.Close()
	if err := enableForwarding(); err != nil {
		return false, err
	}
	ways := []way{{a.Addr, Gateway}}
	if a.Addr6.IsValid() {
		if err := enableForwarding6(); err != nil {
			return false, err
		}
		ways = append(ways, way{a.Addr6, h.Gateway6()})
	}
	// The rules come first: they guard the link from its first packet on.
	if err := h.publish(handle, a, mend); err != nil {
		return false, err
	}
	// Beside the link, because the kernel walks its whole table of connections (5 ms).
	forgotten := make(chan error, 1)
	go func() { forgotten <- forgetElsewhere(a) }()
	l := &link{
		name: h.linkName(a.UID), ways: ways, ports: len(a.Ports) > 0, bandwidth: a.Bandwidth,
		target: target, host: handle, mend: mend,
	}
	l.hostMAC, l.podMAC = macs(a.UID)
	err = l.connect()
	return l.anew, errors.Join(err, <-forgotten)
}

// Detach removes what Attach and Allocate made for the pod, from its uid alone,
// and the firewall table with the last pod of the instance. It may be run any
// number of times, in whatever state the pod is.
//
// Rules and link go at the same time, as each may wait for the removal of a link
// (the last pod's rules go with the gateway), which takes 20 ms of RCU in the
// kernel. Only when no route is left goes the address, so that whoever gets it
// next cannot meet the old route. The death
// of the pod's namespace removes the link in a quarter of that time, and without
// holding up those who remove other links, so Detach gives it a moment: it is
// best called beside the end of the pod's processes, and returns when the link
// is gone.
func (h Host) Detach(uid string) error {
	if err := h.Disconnect(uid); err != nil {
		return err
	}
	if err := h.Release(uid); err != nil {
		return fmt.Errorf("detach pod network: %w", err)
	}
	return nil
}

// Disconnect is Detach for a pod that keeps its addresses, for its next namespace.
func (h Host) Disconnect(uid string) error {
	if err := h.disconnect(uid); err != nil {
		return fmt.Errorf("detach pod network: %w", err)
	}
	return nil
}

func (h Host) disconnect(uid string) error {
	if err := checkUID(uid); err != nil {
		return err
	}
	if err := h.CheckLinkPrefix(); err != nil {
		return err
	}
	var g errgroup.Group
	g.Go(func() error {
		return onHandle(func(handle *netlink.Handle) error { return h.withdraw(handle, uid) })
	})
	g.Go(func() error {
		return onHandle(func(handle *netlink.Handle) error { return awaitLinkEnd(handle, h.linkName(uid)) })
	})
	return g.Wait()
}

// onHandle calls f with a netlink socket of its own.
func onHandle(f func(*netlink.Handle) error) error {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink socket: %w", err)
	}
	defer handle.Close()
	return f(handle)
}

// namespaceEnd is how long a pod's link may take to go with its namespace.
const namespaceEnd = 60 * time.Millisecond

// awaitLinkEnd returns when the link is gone, and removes one that stays.
func awaitLinkEnd(handle *netlink.Handle, name string) error {
	for deadline := time.Now().Add(namespaceEnd); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if _, err := handle.LinkByName(name); isNotFound(err) {
			return nil
		}
	}
	return deleteLink(handle, name)
}
