package netns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"podrun/step"
)

// The directory of addresses holds two symlinks a pod and one file:
//
//	<uid>     -> 10.244.0.2   the pod's intent, made first and removed last
//	10.244.0.2 -> <uid>       the claim: one symlink(2), EEXIST means taken
//	.last                     the address given last, and the lock
//
// A claim never exists without the intent that leads to it, so a process killed
// between any two calls leaves nothing that Allocate does not complete and
// Release does not remove.
const lastAddress = ".last"

// ErrSubnetExhausted is returned by Allocate when every address of the subnet is taken.
var ErrSubnetExhausted = errors.New("every address of the pod subnet is taken")

// Allocate claims an address for the pod, or returns the one that the pod has.
// Addresses are given in order, starting after the one given last, so that the
// address of a pod that is gone stays unused for as long as possible (the rule
// of CNI's host-local). The first address of the subnet is left to a gateway.
func (h Host) Allocate(uid string) (netip.Addr, error) {
	addr, err := h.allocate(uid)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("allocate an address of %v: %w", h.Subnet, err)
	}
	return addr, nil
}

func (h Host) allocate(uid string) (netip.Addr, error) {
	if err := checkUID(uid); err != nil {
		return netip.Addr{}, err
	}
	first, last, err := usable(h.Subnet)
	if err != nil {
		return netip.Addr{}, err
	}
	lock, err := h.lock(lastAddress)
	if err != nil {
		return netip.Addr{}, err
	}
	defer lock.Close()
	if addr, found, err := h.resume(uid); found || err != nil {
		return addr, err
	}
	if err := os.Remove(h.file(uid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return netip.Addr{}, err
	}
	start := last
	if previous := readLast(lock); !previous.Less(first) && !last.Less(previous) {
		start = previous
	}
	for addr := following(start, first, last); ; addr = following(addr, first, last) {
		_, err := os.Readlink(h.file(addr.String()))
		if errors.Is(err, fs.ErrNotExist) {
			return addr, h.claim(lock, uid, addr)
		}
		if addr == start {
			return netip.Addr{}, fmt.Errorf("%w (%v to %v)", ErrSubnetExhausted, first, last)
		}
	}
}

// Reclaim completes the claim of an address that the pod has, and tells whether
// anything of it was gone. An address that another pod has claimed since is an error.
func (h Host) Reclaim(uid string, addr netip.Addr) (made bool, err error) {
	if now, owner := h.claimed(uid); now == addr && owner == uid {
		return false, nil
	}
	lock, err := h.lock(lastAddress)
	if err != nil {
		return false, fmt.Errorf("claim address %v again: %w", addr, err)
	}
	defer lock.Close()
	defer step.Change("claim address again")()
	for name, target := range map[string]string{addr.String(): uid, uid: addr.String()} {
		found, err := os.Readlink(h.file(name))
		switch {
		case err == nil && found == target:
			continue
		case err == nil && name != uid:
			return false, fmt.Errorf("claim address %v again: pod %s has it meanwhile: take one of the two down", addr, found)
		case err == nil:
			err = os.Remove(h.file(name))
		case errors.Is(err, fs.ErrNotExist):
			err = nil
		}
		if err == nil {
			err = os.Symlink(target, h.file(name))
		}
		if err != nil {
			return false, fmt.Errorf("claim address %v again: %w", addr, err)
		}
	}
	return true, nil
}

// resume returns the address that the pod has, after completing a claim that
// was cut short. An intent whose address another pod has taken, or which lies
// outside the subnet and was never claimed, is no claim.
func (h Host) resume(uid string) (netip.Addr, bool, error) {
	addr, owner := h.claimed(uid)
	switch {
	case !addr.IsValid():
		return netip.Addr{}, false, nil
	case owner == uid:
		return addr, true, nil
	case owner == "" && h.Subnet.Contains(addr):
		err := os.Symlink(uid, h.file(addr.String()))
		return addr, err == nil, err
	}
	return netip.Addr{}, false, nil
}

// claimed reads the pod's intent, and who owns the address that it names.
func (h Host) claimed(uid string) (addr netip.Addr, owner string) {
	text, err := os.Readlink(h.file(uid))
	if err != nil {
		return netip.Addr{}, ""
	}
	if addr, err = netip.ParseAddr(text); err != nil {
		return netip.Addr{}, ""
	}
	owner, _ = os.Readlink(h.file(text))
	return addr, owner
}

func (h Host) claim(lock *os.File, uid string, addr netip.Addr) error {
	text := addr.String()
	done := step.Change("note address")
	if err := os.Symlink(text, h.file(uid)); err != nil {
		return err
	}
	done()
	defer step.Change("claim address")()
	if err := os.Symlink(uid, h.file(text)); err != nil {
		return err
	}
	// Fixed width, so that one write replaces the previous address whole.
	_, err := lock.WriteAt(fmt.Appendf(nil, "%-40s\n", text), 0)
	return err
}

// Release gives the pod's address back; without one it does nothing. Call it
// when no link carries the address any more, as Detach does.
func (h Host) Release(uid string) error {
	if err := checkUID(uid); err != nil {
		return err
	}
	if _, err := os.Lstat(h.file(uid)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := h.lock(lastAddress)
	if err != nil {
		return err
	}
	defer lock.Close()
	if addr, owner := h.claimed(uid); owner == uid {
		done := step.Change("release address")
		if err := os.Remove(h.file(addr.String())); err != nil {
			return fmt.Errorf("release address: %w", err)
		}
		done()
	}
	defer step.Change("forget address")()
	if err := os.Remove(h.file(uid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("release address: %w", err)
	}
	return nil
}

func (h Host) file(name string) string { return filepath.Join(h.Addresses, name) }

// lock waits for the named file's exclusive lock. Closing it, or dying, releases it.
func (h Host) lock(name string) (*os.File, error) {
	if err := os.MkdirAll(h.Addresses, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(h.file(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(&fs.PathError{Op: "flock", Path: f.Name(), Err: err}, f.Close())
		}
	}
}

// readLast is the address given last; without a legible one it is invalid, and
// the search starts anew.
func readLast(f *os.File) netip.Addr {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 64))
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := netip.ParseAddr(strings.TrimSpace(string(text)))
	return addr
}

// usable is the range of addresses for pods: without the network's own, the
// gateway's and the broadcast address.
func usable(subnet netip.Prefix) (first, last netip.Addr, err error) {
	if !subnet.IsValid() || !subnet.Addr().Is4() || subnet.Bits() > 30 {
		return first, last, errors.New("an IPv4 subnet of /30 or larger is needed")
	}
	base := subnet.Masked().Addr().As4()
	start := binary.BigEndian.Uint32(base[:])
	end := start | (1<<(32-subnet.Bits()) - 1)
	return fromUint32(start + 2), fromUint32(end - 1), nil
}

func fromUint32(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}

// following is the next address to try, wrapping at the end of the range.
func following(addr, first, last netip.Addr) netip.Addr {
	next := addr.Next()
	if next.Less(first) || last.Less(next) {
		return first
	}
	return next
}
