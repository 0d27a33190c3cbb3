package sandbox

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// What goes wrong in pause is told in words.
func TestSetUpThatFails(t *testing.T) {
	tests := []struct {
		name, want string
		change     func(*box, *Config)
	}{
		{"the cgroup is gone", "the pause process could not join the cgroup of the sandbox",
			func(b *box, c *Config) { must(b, RemoveCgroup(b.leaf())) }},
		{"a hostname that is too long", "the pause process could not set the hostname",
			func(_ *box, c *Config) { c.Hostname = strings.Repeat("h", 65) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := &box{TB: t}
			b = newBox(t, func(c *Config) {
				b.uid = strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-"))
				test.change(b, c)
			})
			select {
			case err := <-b.pause.Failed():
				if err == nil || err.Error() != test.want {
					t.Errorf("got %v, want %q", err, test.want)
				}
			case <-time.After(10 * time.Second):
				t.Error("nothing failed")
			}
		})
	}
}

// None of these gets as far as the monitor; should one, it is one that ends at once.
var noMonitor = []string{"--", monitorTitle, "die", "", "/nonexistent"}

// The exit codes of pause.c are those that Start knows the words of.
func TestExitCodes(t *testing.T) {
	tests := []struct {
		why, flags string
		args       []string
		files      int
		want       string
	}{
		{"no arguments", "0", nil, 2, "could not leave the caller's directory"},
		{"no separator", "0", []string{"a", "b"}, 2, "could not leave the caller's directory"},
		{"no monitor", "0", []string{"a", "--"}, 2, "could not leave the caller's directory"},
		{"flags that the kernel does not know", "1", noMonitor, 2, "could not make the pod's namespaces"},
		{"no lock and no control socket", "20000", noMonitor, 0, "could not leave the caller's directory"},
	}
	for _, test := range tests {
		cmd := exec.Command("/proc/self/exe")
		cmd.Args = append([]string{"podrun: pod of a test"}, test.args...)
		cmd.Env = []string{"_PODRUN_PAUSE=" + test.flags}
		null, err := os.Open(os.DevNull)
		must(t, err)
		for range test.files {
			cmd.ExtraFiles = append(cmd.ExtraFiles, null)
		}
		err = explain(cmd.Run())
		null.Close()
		if err == nil || err.Error() != "the pause process "+test.want {
			t.Errorf("%s: got %v, want %q", test.why, err, test.want)
		}
	}
}

func TestExplain(t *testing.T) {
	other := errors.New("other")
	tests := []struct {
		script, want string
	}{
		{"exit 13", "the pause process could not make the pod's namespaces"},
		{"exit 99", "the pause process ended: exit status 99"},
		{"kill -9 $$", "the pause process ended: signal: killed"},
	}
	for _, test := range tests {
		if got := explain(exec.Command("sh", "-c", test.script).Run()); got == nil || got.Error() != test.want {
			t.Errorf("%s: got %v, want %q", test.script, got, test.want)
		}
	}
	if got := explain(other); got != other {
		t.Errorf("got %v, want %v", got, other)
	}
	if got := explain(nil); got != nil {
		t.Errorf("got %v, want nil", got)
	}
}
