package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
	v1 "k8s.io/api/core/v1"
)

// ClaimData is the directory of a claim that containers see. Beside it is room
// for what podrun has to know of the claim, out of their reach.
const ClaimData = "data"

// claim makes the named volume unless it exists. Its mode is that of
// local-path-provisioner, 0777, so that a server of any user can use it.
// readOnly in the claim's source makes every mount of it read-only. Remove
// leaves it alone; only RemoveClaim ends it.
func (s *Spec) claim(name string, source *v1.PersistentVolumeClaimVolumeSource) (volume, error) {
	if err := checkName("claim", source.ClaimName); err != nil {
		return volume{}, err
	}
	path, err := makeDirectory(filepath.Join(s.Claims, source.ClaimName), ClaimData, noGroup)
	if err == nil && !source.ReadOnly {
		err = s.giveToGroup(name, path)
	}
	return volume{path: path, readOnly: source.ReadOnly}, err
}

// RemoveClaim removes the named volume at dir (Spec.Claims and the claim's
// name) with all that it holds. It is idempotent, and removes nothing if
// something is mounted inside. The claim is gone at once, by a rename to a
// hidden name; a killed RemoveClaim goes on when it is repeated, and never
// leaves half of a claim under its name. ErrInUse says that a pod has the claim
// locked; that no pod that is not running needs it, the caller makes sure of.
func RemoveClaim(dir string) error {
	dir = filepath.Clean(dir)
	name := filepath.Base(dir)
	if err := checkName("claim", name); err != nil {
		return err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove claim %q: %w", name, err)
	}
	if err := removeClaim(parent, name); err != nil {
		return fmt.Errorf("remove claim %q: %w", name, err)
	}
	return nil
}

func removeClaim(parent, name string) error {
	dir := filepath.Join(parent, name)
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return fmt.Errorf("read the mount table: %w", err)
	}
	if len(mounts) > 0 {
		return fmt.Errorf("%s is a mount point: unmount it and repeat; nothing was removed", mounts[0].Mountpoint)
	}
	lock, err := lockClaim(dir, true, false)
	if err == nil {
		defer lock.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	hidden := filepath.Join(parent, "."+name+".removed")
	if err := RemoveTree(hidden); err != nil {
		return err
	}
	if err := os.Rename(dir, hidden); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return RemoveTree(hidden)
}
