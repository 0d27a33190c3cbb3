package monitor

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"podrun/netns"
)

// The annotations that limit a pod's link, as containerd reads them
// (internal/cri/bandwidth), within its bounds, in bits a second.
const (
	ingressBandwidth = "kubernetes.io/ingress-bandwidth"
	egressBandwidth  = "kubernetes.io/egress-bandwidth"

	leastBandwidth = 1e3
	mostBandwidth  = 1e15
)

// bandwidthOf is what the annotations ask for. A pod of the machine's network has
// no link of its own.
func bandwidthOf(p *v1.Pod) (b netns.Bandwidth, err error) {
	if p.Spec.HostNetwork {
		return b, nil
	}
	for name, bits := range map[string]*uint64{ingressBandwidth: &b.Ingress, egressBandwidth: &b.Egress} {
		text, ok := p.Annotations[name]
		if !ok {
			continue
		}
		q, err := resource.ParseQuantity(text)
		if err != nil {
			return b, fmt.Errorf("read annotation %s: %q is no quantity of bits a second, such as 10M", name, text)
		}
		if v := q.Value(); v < leastBandwidth || v > mostBandwidth {
			return b, fmt.Errorf("read annotation %s: %q is not between 1k and 1P (bits a second)", name, text)
		}
		*bits = uint64(q.Value())
	}
	return b, nil
}
