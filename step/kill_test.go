//go:build steps

package step

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestMain is also the process that is to end.
func TestMain(m *testing.M) {
	if os.Getenv("STEP_TEST_CHILD") == "" {
		os.Exit(m.Run())
	}
	As("child")
	for range 2 {
		func() { defer Change("write")() }()
	}
	os.Exit(7)
}

func TestEndsAtTheNamedStep(t *testing.T) {
	all := "child/write/1/before\nchild/write/1/after\nchild/write/2/before\nchild/write/2/after\n"
	for _, test := range []struct {
		name, kill  string
		killed      bool
		trace, left string
	}{
		{"nothing said", "", false, all, ""},
		{"before", "child/write/2/before\n", true, "child/write/1/before\nchild/write/1/after\nchild/write/2/before\n", ""},
		{"after", "child/write/1/after\n", true, "child/write/1/before\nchild/write/1/after\n", ""},
		{"of another", "monitor/write/1/after\n", false, all, "monitor/write/1/after\n"},
		{"and the next", "child/write/1/before\nchild/write/1/after\n", true, "child/write/1/before\n", "child/write/1/after\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if test.kill != "" {
				if err := os.WriteFile(filepath.Join(dir, "kill"), []byte(test.kill), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			child := exec.Command("/proc/self/exe")
			child.Env = append(os.Environ(), "STEP_TEST_CHILD=1", Dir+"="+dir)
			child.Run()
			if status := child.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() != test.killed {
				t.Errorf("the process ended with %v, want killed: %v", child.ProcessState, test.killed)
			}
			for name, want := range map[string]string{"trace": test.trace, "kill": test.left} {
				if got, _ := os.ReadFile(filepath.Join(dir, name)); string(got) != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}
