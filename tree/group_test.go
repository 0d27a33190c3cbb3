package tree

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

const testGroup = 4321

// stat is group and mode of a file itself, in octal.
func stat(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return fmt.Sprintf("%d %o", st.Gid, st.Mode&^unix.S_IFMT)
}

// fill puts a directory, a file, a program and links into a claim.
func fill(t *testing.T, dir string) {
	t.Helper()
	ok(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	ok(t, os.Mkdir(filepath.Join(dir, "sub/deep"), 0o750))
	for path, mode := range map[string]os.FileMode{"sub/file": 0o600, "program": 0o755 | os.ModeSetuid} {
		ok(t, os.WriteFile(filepath.Join(dir, path), nil, 0o600))
		ok(t, os.Chmod(filepath.Join(dir, path), mode))
	}
	ok(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	ok(t, os.Symlink("/etc", filepath.Join(dir, "link")))
}

// A file that forbids to be changed is left as it is, and not in the way.
func TestGiveLeavesImmutableFiles(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	set(t, filepath.Join(dir, "sub/file"), immutable)
	defer tidy(t, filepath.Join(dir, "sub/file"))
	ok(t, Give(dir, testGroup, false))
	for path, want := range map[string]string{".": "4321 2775", "sub/file": "0 600", "sub/deep": "4321 2770"} {
		if got := stat(t, filepath.Join(dir, path)); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

// tidy lets a file be removed again.
func tidy(t *testing.T, path string) {
	t.Helper()
	f := must(os.Open(path))(t)
	defer f.Close()
	clearAttributes(int(f.Fd()))
}

// Somebody exchanges a directory of the claim for a link that leads out of it,
// again and again, while the claim is given to the group.
func TestGiveRace(t *testing.T) {
	dir := t.TempDir()
	outside := t.TempDir()
	victim := filepath.Join(outside, "victim")
	ok(t, os.WriteFile(victim, nil, 0o600))
	ok(t, os.Mkdir(dir+"/a", 0o700))
	ok(t, os.WriteFile(dir+"/a/victim", nil, 0o600))
	ok(t, os.Symlink(outside, dir+"/b"))
	stop := make(chan struct{})
	var renamer sync.WaitGroup
	renamer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, dir+"/a", unix.AT_FDCWD, dir+"/b", unix.RENAME_EXCHANGE)
			}
		}
	})
	for range 2000 {
		if err := Give(dir, testGroup, false); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	renamer.Wait()
	if got := stat(t, victim); got != "0 600" {
		t.Errorf("a file outside was changed: %s", got)
	}
}
