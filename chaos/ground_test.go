package chaos

import (
	"os/exec"
	"sync"
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

// inside runs podrun at the end of a shell's line, in a mount namespace of its own.
func inside(g *ground.Ground, shell string, args ...string) ground.Result {
	own := g.Command(args...)
	cmd := exec.Command("unshare", append([]string{"-m", "sh", "-c", shell + ` && exec timeout -s KILL 60 "$@"`, "sh"}, own.Args...)...)
	cmd.Env, cmd.Dir = own.Env, own.Dir
	return ground.Finish(cmd, args)
}

// quickPod is the manifest of a pod that ends at once when it is told to. The rest of
// its spec begins with a new line.
func quickPod(name, spec string) string {
	return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec:\n  terminationGracePeriodSeconds: 0" + spec
}

// stepsBinary is podrun that can be killed at its steps, built once.
var stepsBinary = sync.OnceValues(func() (string, error) { return ground.Build("podrun-steps", "steps") })
