package monitor

import (
	"context"

	"podrun/state"
)

// Refusal is what a monitor says that cannot do what it was told.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// Tell sends what is answered once it is done: a request to refresh, a changed
// manifest, an ephemeral container. The error is a [Refusal] where the monitor
// says no, and ErrNoMonitor where nobody keeps the pod.
func Tell(ctx context.Context, s *state.Store, uid string, r Request) error {
	var refused error
	err := Ask(ctx, s, uid, r, func(u Update) bool {
		if u.Answer != nil && u.Answer.Error != "" {
			refused = Refusal(u.Answer.Error)
		}
		return u.Answer == nil
	})
	if err != nil {
		return err
	}
	return refused
}
