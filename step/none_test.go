//go:build !steps

package step

import "testing"

// TestCostsNothing holds an ordinary build to empty marks: they are on the way of
// every up.
func TestCostsNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { defer Change("write")() }); n != 0 {
		t.Errorf("a mark allocates %v times", n)
	}
}
