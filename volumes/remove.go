package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"podrun/step"
	"podrun/tree"
)

// Remove removes the pod's own volumes: dir (Spec.Dir) with all that containers
// left there, and the mount points beside it. It runs in the host's mount
// namespace when the pod's is gone. It is idempotent. It never crosses a mount
// point and never follows a link; a mount that somebody else made inside stays,
// and the error names it.
func Remove(dir string) error {
	dir = filepath.Clean(dir)
	pod := filepath.Dir(dir)
	err := errors.Join(removeMountPoints(pod), tree.Remove(dir))
	if err != nil {
		return fmt.Errorf("remove volumes: %w", err)
	}
	return nil
}

// removeMountPoints removes what was mounted on in the pod's namespace: empty
// files and directories. If one of them is not empty, something is wrong, and
// the data may be a volume's: it stays.
func removeMountPoints(pod string) error {
	paths := []string{filepath.Join(pod, "shm"), filepath.Join(pod, ".shm.new")}
	peers := filepath.Join(pod, peerDirectory)
	points, err := os.ReadDir(peers)
	failed := []error{ignoreMissing(err)}
	for _, point := range points {
		paths = append(paths, filepath.Join(peers, point.Name()))
	}
	subPaths := filepath.Join(pod, subPathDirectory)
	ids, err := os.ReadDir(subPaths)
	failed = append(failed, ignoreMissing(err))
	for _, id := range ids {
		dir := filepath.Join(subPaths, id.Name())
		points, err := os.ReadDir(dir)
		failed = append(failed, ignoreMissing(err))
		for _, point := range points {
			paths = append(paths, filepath.Join(dir, point.Name()))
		}
		paths = append(paths, dir)
	}
	for _, path := range append(paths, peers, subPaths) {
		failed = append(failed, removeMountPoint(path))
	}
	return errors.Join(failed...)
}

func removeMountPoint(path string) error {
	defer step.Change("remove mount point")()
	err := ignoreMissing(os.Remove(path))
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%w: it is still mounted: unmount it and repeat", err)
	}
	return err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
