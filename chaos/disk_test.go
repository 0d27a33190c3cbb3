package chaos

import (
	"os/exec"
	"strings"
	"testing"
)

func run(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// diskOf makes a file system in a file, with all that a directory has.
func diskOf(t *testing.T, dir, file, size string, options ...string) {
	t.Helper()
	at := t.TempDir()
	run(t, "truncate", "-s", size, file)
	run(t, append(append([]string{"mkfs.ext4", "-q"}, options...), file)...)
	run(t, "mount", "-o", "loop", file, at)
	run(t, "cp", "-a", dir+"/.", at)
	run(t, "umount", at)
}
