package chaos

import (
	"testing"

	"podrun/ground"
)

// newGround is the ground of one fault of a class: what is left on it counts.
func newGround(t *testing.T, class string) *ground.Ground {
	t.Helper()
	return newGroundOf(t, class, ground.Suite.Binary)
}

// newGroundOf is newGround for another binary than the ordinary one.
func newGroundOf(t *testing.T, class, binary string) *ground.Ground {
	t.Helper()
	g := ground.NewOf(t, binary)
	t.Cleanup(func() { tally(class, "leaks", len(g.Leaks())) }) // before the ground is closed
	return g
}
