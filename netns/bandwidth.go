package netns

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"podrun/step"
)

// Bandwidth limits a pod's link, in bits a second; 0: no limit.
type Bandwidth struct {
	Ingress uint64 // into the pod
	Egress  uint64 // out of it
}

// A token bucket on each end of the link holds back what that end sends. (CNI's
// bandwidth plugin has one for the other direction on an ifb device, which many
// kernels lack. The one in the pod can be taken away with CAP_NET_ADMIN only.)
const (
	burstTime  = 20 * time.Millisecond // of the rate goes out at once
	leastBurst = 16 << 10              // bytes: some packets of any link
	queueTime  = 25 * time.Millisecond // CNI's latency: what would wait longer is dropped
	leastQueue = 32 << 10              // bytes

	// mostRate is in bytes a second. A veth is slower than that, and the kernel's
	// arithmetic of a bucket overflows (psched_ns_t2l).
	mostRate = 100e9
)

// limit makes the link send no faster than the rate, in bits a second; 0 leaves it
// as it is.
func limit(h *netlink.Handle, index int, bits uint64) error {
	defer step.Change("limit bandwidth")()
	if bits == 0 {
		return nil
	}
	q := bucket(bits)
	q.LinkIndex = index
	err := h.QdiscReplace(q)
	if errors.Is(err, unix.ENOENT) {
		return errors.New("limit bandwidth: this kernel has no token bucket (CONFIG_NET_SCH_TBF, module sch_tbf)")
	}
	if err != nil {
		return fmt.Errorf("limit bandwidth: %w", err)
	}
	return nil
}

func bucket(bits uint64) *netlink.Tbf {
	rate := min(max(float64(bits)/8, 1), mostRate)
	burst := max(burstTime.Seconds(), leastBurst/rate) // seconds
	queue := max(queueTime.Seconds(), leastQueue/rate)
	return &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       uint64(rate),
		Buffer:     uint32(min(burst*1e6*netlink.TickInUsec(), math.MaxUint32)),
		Limit:      uint32(min(rate*(burst+queue), math.MaxUint32)),
	}
}
