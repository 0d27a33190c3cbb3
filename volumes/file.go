package volumes

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"podrun/tree"
)

// OpenFile opens a regular file of a mounted volume for reading, and returns its
// path beside it. Links lead to where they would if the volume were the root
// directory (the kubelet's SecureJoin, but the kernel does it, so that containers
// cannot exchange names meanwhile). Something else than a file is refused, for a
// pipe would be waited for.
func (s *Set) OpenFile(name, path string) (file io.ReadCloser, onMachine string, err error) {
	v, ok := s.volumes[name]
	if !ok {
		return nil, "", fmt.Errorf("cannot find the volume %q referenced by FileKeyRef", name)
	}
	onMachine = filepath.Join(v.path, path)
	root, err := unix.Open(v.path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, "", &os.PathError{Op: "open", Path: v.path, Err: err}
	}
	defer unix.Close(root)
	f, err := tree.OpenRegular(root, path, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	if err != nil {
		return nil, "", fmt.Errorf("open %s: %w", onMachine, err)
	}
	return f, onMachine, nil
}
