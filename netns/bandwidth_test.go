package netns

import (
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// Transfers take at least as long as the rate makes them, however busy the machine is.
func TestBandwidth(t *testing.T) {
	const rate, size = 500_000, 600_000 // bytes a second, bytes
	m := newMachine(t)
	m.outside()
	free := m.pod()
	p := m.pod()
	p.Bandwidth = Bandwidth{Ingress: 8 * rate, Egress: 16 * rate}
	m.must(m.Attach(p.Attachment))
	m.must(m.Attach(p.Attachment)) // again
	for _, c := range []struct {
		name     string
		ns, addr string // of the receiver
		from     string
		rate     float64
	}{
		{"into the pod", p.NetNS, at(p.Addr, "9000"), free.NetNS, rate},
		{"into the pod by IPv6", p.NetNS, at(p.Addr6, "9000"), free.NetNS, rate},
		{"out of the pod", free.NetNS, at(free.Addr, "9000"), p.NetNS, 2 * rate},
		{"out of the pod by IPv6", free.NetNS, at(free.Addr6, "9000"), p.NetNS, 2 * rate},
	} {
		// The bucket is full at first; acknowledgements are the only other traffic.
		least := time.Duration((size - leastBurst - burstTime.Seconds()*c.rate) / c.rate * float64(time.Second))
		if took := m.transfer(c.ns, c.addr, c.from, size); took < least || took > 20*least {
			t.Errorf("%s: %d bytes took %v, want at least %v", c.name, size, took, least)
		}
	}
}

// transfer sends so many bytes and tells how long they took to arrive.
func (m *machine) transfer(to, addr, from string, size int64) time.Duration {
	m.Helper()
	var l net.Listener
	m.must(within(to, func() (err error) { l, err = net.Listen("tcp", addr); return err }))
	defer l.Close()
	sent := make(chan error, 1)
	var start time.Time
	go func() {
		sent <- within(from, func() error {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				return err
			}
			defer c.Close()
			start = time.Now()
			_, err = io.WriteString(c, strings.Repeat("x", int(size)))
			return err
		})
	}()
	c, err := l.Accept()
	m.must(err)
	defer c.Close()
	n, err := io.Copy(io.Discard, c)
	m.must(err)
	m.must(<-sent)
	if n != size {
		m.Errorf("%d bytes of %d arrived", n, size)
	}
	return time.Since(start)
}

func TestBandwidthOfEachEnd(t *testing.T) {
	m := newMachine(t)
	p := m.pod()
	p.Bandwidth = Bandwidth{Egress: 8e6}
	m.must(m.Attach(p.Attachment))
	host, err := netlink.LinkByName(m.linkName(p.UID))
	m.must(err)
	if got := limitOf(m, host); got != 0 {
		t.Errorf("the host end is limited to %d bytes a second", got)
	}
	p.do(func() error {
		eth, err := netlink.LinkByName(podLink)
		m.must(err)
		if got := limitOf(m, eth); got != 1e6 {
			t.Errorf("the pod's end is limited to %d bytes a second, want 1000000", got)
		}
		return nil
	})
}

func limitOf(m *machine, link netlink.Link) uint64 {
	list, err := netlink.QdiscList(link)
	m.must(err)
	for _, q := range list {
		if tbf, ok := q.(*netlink.Tbf); ok {
			return tbf.Rate
		}
	}
	return 0
}

// The kernel takes all rates that are allowed, and packets of any size get through.
func TestBandwidthBounds(t *testing.T) {
	for _, bits := range []uint64{1e3, 1e6, 1e9, 1e12, 1e15} {
		q := bucket(bits)
		ticks := float64(q.Buffer) / netlink.TickInUsec() / 1e6 // seconds
		if bytes := ticks * float64(q.Rate); bytes < leastBurst*0.99 {
			t.Errorf("%d bits a second: a bucket of %.0f bytes", bits, bytes)
		}
		if q.Limit < leastQueue || float64(q.Rate) > mostRate || q.Buffer == math.MaxUint32 {
			t.Errorf("%d bits a second: %+v", bits, q)
		}
	}
	m := newMachine(t)
	p := m.pod()
	p.Bandwidth = Bandwidth{Ingress: 1e15, Egress: 1e3}
	m.must(m.Attach(p.Attachment))
	m.must(ping("", p.Addr))
}
