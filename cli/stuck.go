package cli

import (
	"maps"
	"slices"
	"time"

	"podrun/monitor"
	"podrun/state"
)

// stuckGap is how often who waits for the end of a pod looks for what holds it up.
const stuckGap = 2 * time.Second

// tellStuck names what holds up the end of a pod, once each, until the function
// that it returns is called. Whom two looks in a row have found holds it up: one
// may come between the kill and the end.
func (a *app) tellStuck(s *state.Store, ref state.Ref) (stop func()) {
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		var before map[int]string
		told := map[int]bool{}
		ticker := time.NewTicker(stuckGap)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			now := monitor.Stuck(s, ref.UID)
			for _, pid := range slices.Sorted(maps.Keys(now)) {
				if _, again := before[pid]; again && !told[pid] {
					told[pid] = true
					a.notef("pod/%s waits: %s\n", displayRef(ref), now[pid])
				}
			}
			before = now
		}
	}()
	return func() {
		close(done)
		<-over
	}
}
