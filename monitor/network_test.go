package monitor

import (
	"net/netip"
	"testing"

	"podrun/netns"
)

// A pod that was changed before its addresses were found gets them, and what
// others read meanwhile is not written to.
func TestAddressesOfAChangedPod(t *testing.T) {
	s := newStore(t)
	record := newRecord(s)
	subnet := netip.MustParsePrefix("10.247.0.0/16")
	m := &monitor{store: s, record: record, pod: record.Pod.DeepCopy(), resumed: true,
		host: netns.Host{Instance: s.Instance, Subnet: subnet, LinkPrefix: "fixd", Addresses: s.AddressDir()}}
	changed := record.Pod.DeepCopy()
	changed.Labels = map[string]string{"is": "changed"}
	m.goOnBy(changed)
	if err := m.addresses(); err != nil {
		t.Fatal(err)
	}
	m.goOnBy(record.Pod.DeepCopy()) // changed once more
	p := m.current()
	if addr, err := netip.ParseAddr(p.Status.PodIP); err != nil || !subnet.Contains(addr) || len(p.Labels) > 0 {
		t.Errorf("got podIP %q and labels %v", p.Status.PodIP, p.Labels)
	}
	if m.pod.Status.PodIP != "" || changed.Status.PodIP != "" {
		t.Error("a pod that others read was written to")
	}
}
