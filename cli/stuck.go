package cli

import (
	"time"

	"podrun/monitor"
	"podrun/state"
)

// stuckGap is how often who waits for the end of a pod looks for what holds it up.
const stuckGap = 2 * time.Second

// tellStuck names what holds up the end of a pod, once each, until the function
// that it returns is called.
func (a *app) tellStuck(s *state.Store, ref state.Ref) (stop func()) {
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		told := map[string]bool{}
		ticker := time.NewTicker(stuckGap)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			for _, text := range monitor.Stuck(s, ref.UID) {
				if !told[text] {
					told[text] = true
					a.notef("pod/%s waits: %s\n", displayRef(ref), text)
				}
			}
		}
	}()
	return func() {
		close(done)
		<-over
	}
}
