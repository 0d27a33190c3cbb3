package volumes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"podrun/kernel"

	"golang.org/x/sys/unix"
)

// MapsHere tells what Mappable would without a user namespace to try it with: by
// the kernel's version and the type of the file system that the path is on, or
// that it would be made on. A type that is not known does not.
func MapsHere(path string) error {
	var stat unix.Statfs_t
	err := unix.Statfs(path, &stat)
	for ; errors.Is(err, unix.ENOENT) && path != "/"; err = unix.Statfs(path, &stat) {
		path = filepath.Dir(path)
	}
	if err != nil {
		return &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	known, ok := fileSystems[int64(stat.Type)]
	switch {
	case !ok || known.since == "":
		return fmt.Errorf("the file system at %s (%s) cannot be id-mapped", path, fileSystem(path))
	case !kernel.AtLeast(known.since):
		return fmt.Errorf("the file system at %s (%s) cannot be id-mapped: that takes Linux %s", path, known.name, known.since)
	}
	return nil
}
