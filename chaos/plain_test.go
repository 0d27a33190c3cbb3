package chaos

import (
	"testing"

	"podrun/ground"
)

var sleeper = quickPod("sleeper", `
  containers:
  - {name: main, image: busybox, imagePullPolicy: Never, command: [sleep, "3600"]}
`)

// TestNothing finds what every other test here starts from: without a fault
// nothing is lost.
func TestNothing(t *testing.T) {
	g := newGround(t, "no fault")
	file := g.Write(t, "sleeper.yaml", sleeper)
	g.Must(t, "up", file)
	uid, err := g.UID("sleeper")
	if err != nil {
		t.Fatal(err)
	}
	all, err := ground.Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"pause", "monitor", "main"} {
		found := 0
		for _, p := range all {
			if p.Is(role, uid, all) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%d processes are %s, want 1", found, role)
		}
	}
	g.Must(t, "down", "sleeper")
	tally("no fault", "pods", 1)
}
