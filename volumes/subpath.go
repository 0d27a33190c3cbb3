package volumes

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"podrun/step"
	"podrun/tree"
)

// beneath lets links lead anywhere inside the volume and nowhere else; magic
// links, those of /proc, would lead to other namespaces. (securejoin resolves
// as if the volume were "/", which would give a link to /etc another meaning
// than it has under the kubelet.)
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS

// openSubPath returns an O_PATH descriptor of what the subPath leads to inside
// the volume, and makes missing directories with the mode of the volume's root
// (kubelet, doSafeMakeDir). Containers may change the volume meanwhile: the
// descriptor always is of something that was inside.
func openSubPath(volume, subPath string) (int, error) {
	if path.IsAbs(subPath) {
		return -1, errors.New("must not be an absolute path")
	}
	if err := noBacksteps(subPath); err != nil {
		return -1, err
	}
	subPath = path.Clean(subPath)
	root, err := unix.Open(volume, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: volume, Err: err}
	}
	defer unix.Close(root)
	fd, err := tree.OpenAt(root, subPath, unix.O_PATH, beneath)
	switch {
	case errors.Is(err, unix.ENOENT):
		absent := err
		if fd, err = makeSubPath(root, subPath); errors.Is(err, unix.EROFS) {
			err = absent // an image's volume has it or not
		}
	case errors.Is(err, unix.EXDEV):
		fd, err = openReal(root, volume, subPath)
	}
	if errors.Is(err, unix.EXDEV) {
		err = fmt.Errorf("%w: a symbolic link leads out of the volume: keep its target inside", err)
	}
	return fd, err
}

// makeSubPath makes what is missing of the path, one directory after the other.
// Each is looked up from the volume's root, so that links keep their meaning,
// and made in a directory held by descriptor.
func makeSubPath(root int, subPath string) (int, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(root, &stat); err != nil {
		return -1, &os.PathError{Op: "fstat", Path: ".", Err: err}
	}
	parent, err := tree.OpenAt(root, ".", unix.O_PATH|unix.O_DIRECTORY, beneath)
	if err != nil {
		return -1, err
	}
	names := strings.Split(subPath, "/")
	for i, name := range names {
		fd, err := tree.OpenAt(root, path.Join(names[:i+1]...), unix.O_PATH, beneath)
		if errors.Is(err, unix.ENOENT) {
			fd, err = makeDirectoryAt(parent, name, stat.Mode&^unix.S_IFMT)
		}
		unix.Close(parent)
		if err != nil {
			return -1, err
		}
		parent = fd
	}
	return parent, nil
}

// makeDirectoryAt makes and opens a directory. If somebody else was first, it is
// theirs: neither its mode is changed nor is a link followed.
func makeDirectoryAt(parent int, name string, mode uint32) (int, error) {
	defer step.Change("make directory of a subPath")()
	mkdir := unix.Mkdirat(parent, name, mode)
	if mkdir != nil && !errors.Is(mkdir, unix.EEXIST) {
		return -1, &os.PathError{Op: "mkdirat", Path: name, Err: mkdir}
	}
	fd, err := tree.OpenAt(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW,
		unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
	if err != nil || mkdir != nil {
		return fd, err
	}
	if err := unix.Fchmod(fd, mode); err != nil { // the umask took part
		unix.Close(fd)
		return -1, &os.PathError{Op: "fchmod", Path: name, Err: err}
	}
	return fd, nil
}

// openReal opens a subPath whose links are absolute, or leave the volume and
// come back, but end inside: the kubelet allows them. The links are resolved by
// name, which proves nothing; then the result is opened beneath the root without
// any link, which does.
func openReal(root int, volume, subPath string) (int, error) {
	outside := &os.PathError{Op: "open", Path: subPath, Err: unix.EXDEV}
	base, err := filepath.EvalSymlinks(volume)
	if err != nil {
		return -1, err
	}
	real, err := filepath.EvalSymlinks(filepath.Join(base, subPath))
	if err != nil {
		return -1, outside
	}
	inside, err := filepath.Rel(base, real)
	if err != nil || !filepath.IsLocal(inside) {
		return -1, outside
	}
	return tree.OpenAt(root, inside, unix.O_PATH, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
}
