package netns

import (
	"crypto/sha256"
	"errors"
	"net/netip"
	"os"
	"strings"
)

// A pod's IPv6 address is the range's with the pod's IPv4 address in its last 32
// bits: who has claimed the one has the other, and both are given back at once.

// hostBits6 are what has to be left of a range of IPv6 addresses.
const hostBits6 = 32

// CheckSubnet6 complains of a range that cannot hold every IPv4 address.
func CheckSubnet6(p netip.Prefix) error {
	if !p.IsValid() || !p.Addr().Is6() || p.Addr().Is4In6() || p.Bits() > 128-hostBits6 {
		return errors.New("an IPv6 range of /96 or larger is needed")
	}
	if a := p.Addr(); a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsUnspecified() {
		return errors.New("an IPv6 range of unicast addresses is needed")
	}
	return nil
}

// DefaultSubnet6 is a range of unique local addresses made of the seed (RFC 4193,
// section 3.2.2, with the seed in place of the time): two machines, and two
// instances on one, have the same range by one chance in 2^40.
func DefaultSubnet6(seed string) netip.Prefix {
	sum := sha256.Sum256([]byte("podrun subnet6 " + seed))
	var a [16]byte
	a[0] = 0xfd
	copy(a[1:6], sum[:])
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// HasIPv6 tells whether this machine has IPv6, and has not switched it off.
func HasIPv6() bool {
	off, err := os.ReadFile("/proc/sys/net/ipv6/conf/all/disable_ipv6")
	return err == nil && strings.TrimSpace(string(off)) == "0"
}

// Address6 is the IPv6 address of the pod that has claimed addr; zero where pods
// have none.
func (h Host) Address6(addr netip.Addr) netip.Addr {
	if !h.Subnet6.IsValid() || !addr.Is4() {
		return netip.Addr{}
	}
	a, low := h.Subnet6.Masked().Addr().As16(), addr.As4()
	copy(a[12:], low[:])
	return netip.AddrFrom16(a)
}

// Gateway6 is for IPv6 what Gateway is for IPv4: the first address of the range.
func (h Host) Gateway6() netip.Addr {
	if !h.Subnet6.IsValid() {
		return netip.Addr{}
	}
	return h.Subnet6.Masked().Addr().Next()
}

func (h Host) gateway(f *family) netip.Addr {
	if f == ipv6 {
		return h.Gateway6()
	}
	return Gateway
}
