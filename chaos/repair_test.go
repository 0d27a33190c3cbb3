package chaos

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRepairBesideOthers repairs without end while pods come and go: nobody loses
// anything to it, and it complains of nothing that is only half made or half
// removed for the moment.
func TestRepairBesideOthers(t *testing.T) {
	t.Parallel()
	g := newGround(t, hands)
	const shells, span = 4, 8 * time.Second
	deadline := time.Now().Add(span)
	var all sync.WaitGroup
	var pods, checks atomic.Int32
	for n := range shells {
		file := g.Write(t, fmt.Sprintf("pod%d.yaml", n), strings.Replace(sleeper, "name: sleeper", fmt.Sprintf("name: pod%d", n), 1))
		all.Go(func() {
			for time.Now().Before(deadline) {
				for _, args := range [][]string{{"up", file}, {"exec", fmt.Sprintf("pod%d", n), "--", "true"}, {"down", file}} {
					if r := g.Run(args...); r.Code != 0 {
						t.Error(r)
					}
				}
				pods.Add(1)
			}
		})
	}
	all.Go(func() {
		for time.Now().Before(deadline) {
			// What it mends is worth a look: nothing here is wrong for longer than a moment.
			if r := g.Run("system", "check", "--repair"); r.Code != 0 || r.Stderr != "" {
				t.Error(r)
			}
			checks.Add(1)
		}
	})
	all.Wait()
	tally(hands, "pods beside repairs", int(pods.Load()))
	tally(hands, "repairs beside pods", int(checks.Load()))
}

// TestEveryLeftover leaves the parts of a killed pod, and wants all of them to be
// found and removed without its name.
func TestEveryLeftover(t *testing.T) {
	h := newHand(t)
	h.sh("kill -STOP %d", h.monitor())
	pause, _ := victim(h.uid, "pause")
	h.sh("kill -9 %d; rm -rf %s/names/default %s %s", pause.PID, h.Store.Root, h.Store.PodDir(h.uid), h.Store.RunDir(h.uid))
	r := h.Run("system", "check", "--repair")
	for _, want := range []string{"there is no record of it", "cgroups", "processes", "address " + h.ip, "link " + h.link, "firewall rules", "done: remove what is left"} {
		if !strings.Contains(r.Stderr, want) {
			t.Errorf("%q is not told: %s", want, r)
		}
	}
	if r.Code != 0 {
		t.Error(r)
	}
	h.sh("rm -rf %s/objects", h.Store.Root)
	tally(hands, "faults injected", 1)
}
