package netns

import (
	"errors"
	"net"
	"net/netip"
	"os"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
)

func TestChanges(t *testing.T) {
	element := func(key, value, uid string) nftables.SetElement {
		return nftables.SetElement{Key: []byte(key), Val: []byte(value), Comment: uid}
	}
	own, same := element("a", "1", "pod"), element("a", "1", "pod")
	for _, c := range []struct {
		name                    string
		have, want, remove, add []nftables.SetElement
	}{
		{name: "nothing"},
		{name: "all there", have: []nftables.SetElement{own}, want: []nftables.SetElement{same}},
		{name: "new", want: []nftables.SetElement{own}, add: []nftables.SetElement{own}},
		{name: "gone", have: []nftables.SetElement{own}, remove: []nftables.SetElement{own}},
		{name: "another pod's", have: []nftables.SetElement{element("b", "1", "other")}},
		{name: "another value", have: []nftables.SetElement{element("a", "2", "pod")}, want: []nftables.SetElement{own},
			remove: []nftables.SetElement{element("a", "2", "pod")}, add: []nftables.SetElement{own}},
		{name: "left behind by a pod that is gone", have: []nftables.SetElement{element("a", "1", "gone")}, want: []nftables.SetElement{own},
			remove: []nftables.SetElement{element("a", "1", "gone")}, add: []nftables.SetElement{own}},
	} {
		remove, add := changes(c.have, c.want, "pod")
		if show(remove) != show(c.remove) || show(add) != show(c.add) {
			t.Errorf("%s: got -%s +%s, want -%s +%s", c.name, show(remove), show(add), show(c.remove), show(c.add))
		}
	}
}

func show(list []nftables.SetElement) string {
	var b strings.Builder
	for _, e := range list {
		b.WriteString("[" + string(e.Key) + "=" + string(e.Val) + " " + e.Comment + "]")
	}
	return b.String()
}

func TestLinkNames(t *testing.T) {
	for _, prefix := range []string{"", "p", "podrun", "123456789"} {
		h := Host{LinkPrefix: prefix}
		name := h.linkName("b3c1f0de-0000-4000-8000-000000000001")
		if len(name) != maxLinkName || !strings.HasPrefix(name, h.prefix()) || name != h.linkName("b3c1f0de-0000-4000-8000-000000000001") {
			t.Errorf("prefix %q gives %q", prefix, name)
		}
	}
	for _, bad := range []string{"1234567890" /* leaves too little for the hash */, "a b", "a/b", "a*", "-a", "é"} {
		if err := (Host{LinkPrefix: bad}).CheckLinkPrefix(); err == nil {
			t.Errorf("link prefix %q is accepted", bad)
		}
	}
	host, pod := macs("x")
	for _, m := range []net.HardwareAddr{host, pod} {
		if m[0]&3 != 2 {
			t.Errorf("%v is not a locally administered unicast address", m)
		}
	}
	if host.String() == pod.String() {
		t.Error("both ends have one address")
	}
}

func TestCheckAttachment(t *testing.T) {
	good := Attachment{UID: "x", Addr: netip.MustParseAddr("10.247.0.2"), Ports: []Port{{HostPort: 80, ContainerPort: 80}}}
	if err := (Host{}).check(good); err != nil {
		t.Error(err)
	}
	for reason, change := range map[string]func(*Attachment){
		"no uid":            func(a *Attachment) { a.UID = "" },
		"no address":        func(a *Attachment) { a.Addr = netip.Addr{} },
		"an IPv6 address":   func(a *Attachment) { a.Addr = netip.MustParseAddr("fd00::2") },
		"two of IPv4":       func(a *Attachment) { a.Addr6 = a.Addr },
		"of no range":       func(a *Attachment) { a.Addr6 = netip.MustParseAddr("fd00::2") },
		"an IPv6 port":      func(a *Attachment) { a.Ports[0].HostIP = netip.MustParseAddr("::") },
		"no container port": func(a *Attachment) { a.Ports = []Port{{HostPort: 80}} },
		"no host port":      func(a *Attachment) { a.Ports = []Port{{ContainerPort: 80}} },
		"DCCP":              func(a *Attachment) { a.Ports = []Port{{HostPort: 80, ContainerPort: 80, Protocol: "DCCP"}} },
	} {
		bad := good
		bad.Ports = slices.Clone(good.Ports)
		change(&bad)
		if err := (Host{}).check(bad); err == nil {
			t.Errorf("accepted: %s", reason)
		}
	}
}

func TestInNamespace(t *testing.T) {
	m := newMachine(t)
	path := m.namespace("inside")
	here := m.currentNamespace()
	var there string
	m.must(InNamespace(path, func() error { there = m.currentNamespace(); return nil }))
	if there == here {
		t.Error("the work ran outside")
	}
	if got := m.currentNamespace(); got != here {
		t.Errorf("the caller is in %s afterwards, was in %s", got, here)
	}
	want := errors.New("of the work")
	if got := InNamespace(path, func() error { return want }); got != want {
		t.Errorf("got %v, want the error of the work", got)
	}
	if err := InNamespace(path, func() error { goruntime.Goexit(); return nil }); err == nil {
		t.Error("work that ended its goroutine counts as done")
	}
	for _, bad := range []string{path + "-absent", "/proc/self/status"} {
		if err := InNamespace(bad, func() error { t.Error("the work ran"); return nil }); err == nil {
			t.Errorf("entered %s", bad)
		}
	}
	// No thread may be left in there: whoever got it next would work in the pod.
	for range 200 {
		done := make(chan string)
		go func() { done <- m.currentNamespace() }()
		if got := <-done; got != here {
			t.Fatalf("a goroutine runs in %s", got)
		}
	}
}

func (m *machine) currentNamespace() string {
	link, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		m.Error(err)
	}
	return link
}
