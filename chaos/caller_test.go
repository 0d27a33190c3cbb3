package chaos

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"podrun/ground"
)

// caller runs podrun as somebody does whose surroundings are hostile: see
// testdata/hostile.c. It is in cgroups of its own.
type caller struct {
	t       *testing.T
	g       *ground.Ground
	hostile string
	groups  []string
}

func newCaller(t *testing.T, g *ground.Ground, tools tools) *caller {
	c := &caller{t: t, g: g, hostile: tools.hostile}
	tops, err := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs") // of v1
	if err != nil {
		t.Fatal(err)
	}
	for _, procs := range append(tops, "/sys/fs/cgroup/cgroup.procs") {
		dir := filepath.Join(filepath.Dir(procs), "hostile-"+filepath.Base(g.Dir))
		if filepath.Base(filepath.Dir(procs)) == "cpuset" || unix.Access(procs, unix.W_OK) != nil {
			continue // a new cpuset has no processors until it is given some
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Errorf("a process that podrun left is still in the caller's cgroup: %v", err)
			}
		})
		c.groups = append(c.groups, filepath.Join(dir, "cgroup.procs"))
	}
	return c
}

// command is podrun with the given arguments, in these surroundings.
func (c *caller) command(args ...string) *exec.Cmd {
	podrun := c.g.Command(args...)
	cmd := exec.Command(c.hostile, append(append(append([]string{"077"}, c.groups...), "--"), podrun.Args...)...)
	cmd.Env, cmd.Dir = podrun.Env, podrun.Dir
	return cmd
}

func (c *caller) run(args ...string) string {
	c.t.Helper()
	out, err := c.command(args...).Output()
	if err != nil {
		c.t.Fatalf("podrun %s: %v: %s", strings.Join(args, " "), err, stderrOf(err))
	}
	return string(out)
}

func stderrOf(err error) string {
	if exit, ok := err.(*exec.ExitError); ok {
		return string(exit.Stderr)
	}
	return ""
}

// ephemeral adds a container to the pod, and returns what it says.
func (c *caller) ephemeral() string {
	c.t.Helper()
	c.run("debug", "golden", "--image", "facts", "--pull", "Never", "-c", "late", "--", "/facts")
	var text string
	ground.Until(c.t, "the ephemeral container's facts", func() bool {
		text = c.g.Run("logs", "golden", "-c", "late").Stdout
		return strings.Contains(text, "== end")
	})
	return text
}
