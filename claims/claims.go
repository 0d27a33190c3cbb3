// Package claims looks after named volumes: the directories, one for each claim of a
// namespace, whose data outlives the pods that use it. It owns such a directory:
// the data that containers see, and beside it, out of their reach, who uses the
// claim and whom it belongs to.
//
// How the data becomes a volume of a pod is left to volumes, what a claim asks for
// to manifest, and where the objects are kept to state.
package claims

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"

	"podrun/step"
	"podrun/tree"
)

// Data is the directory of a claim that containers see. The files beside it are
// podrun's own.
const Data = "data"

// CheckName refuses what would not stay one visible entry of a directory. The
// manifest's validation is stricter; this holds if a caller skipped it.
func CheckName(name string) error {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("claim %q cannot be the name of a directory", name)
	}
	return nil
}

// Remove removes the directory of a claim with all that it holds. It is idempotent,
// and removes nothing if something is mounted inside. The claim is gone at once, by
// a rename to a hidden name; a killed Remove goes on when it is repeated, and never
// leaves half of a claim under its name. ErrInUse says that a pod has the claim
// locked; that no pod that is not running needs it, the caller makes sure of.
func Remove(dir string) error {
	dir = filepath.Clean(dir)
	name := filepath.Base(dir)
	if err := CheckName(name); err != nil {
		return err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove claim %q: %w", name, err)
	}
	if err := remove(parent, name); err != nil {
		return fmt.Errorf("remove claim %q: %w", name, err)
	}
	return nil
}

func remove(parent, name string) error {
	dir := filepath.Join(parent, name)
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return fmt.Errorf("read the mount table: %w", err)
	}
	if len(mounts) > 0 {
		return fmt.Errorf("%s is a mount point: unmount it and repeat; nothing was removed", mounts[0].Mountpoint)
	}
	held, err := lock(dir, true, false)
	if err == nil {
		defer held.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	hidden := filepath.Join(parent, "."+name+".removed")
	if err := tree.Remove(hidden); err != nil {
		return err
	}
	defer step.Change("hide claim")()
	if err := os.Rename(dir, hidden); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := tree.Remove(hidden); err != nil {
		return err
	}
	os.Remove(parent) // that of the namespace goes only when it is empty
	return nil
}
