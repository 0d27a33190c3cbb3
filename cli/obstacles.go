package cli

import (
	"net/netip"
	"sync"
	"time"

	"podrun/netns"
)

// obstacleDelay is how long a pod that waits for the network may leave its user in
// the dark.
const obstacleDelay = 2 * time.Second

// tellObstacles returns a function that names the firewalls in the way of the pods,
// once they have their links. It runs by itself where they take long to start.
func (u *up) tellObstacles(pods []*launch) func() {
	var own *launch
	for _, l := range pods {
		if !l.record.Pod.Spec.HostNetwork {
			own = l
		}
	}
	if own == nil {
		return func() {}
	}
	tell := sync.OnceFunc(func() {
		host := netns.Host{LinkPrefix: own.record.LinkPrefix, Instance: u.store.Instance}
		host.Subnet, _ = netip.ParsePrefix(own.record.Subnet)
		host.Subnet6, _ = netip.ParsePrefix(own.record.Subnet6) // empty: none
		obstacles, err := host.Obstacles()
		if err != nil && u.verbose {
			u.notef("whether a firewall is in the way of pods is not known: %v\n", err)
		}
		for _, o := range obstacles {
			u.notef("warning: %v\n", o)
		}
	})
	late := time.AfterFunc(obstacleDelay, tell)
	return func() {
		late.Stop()
		tell()
	}
}
