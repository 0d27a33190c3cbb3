package image

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

// tree is a layer unpacked into a directory that is not in its place yet.
type tree struct {
	dir    string
	diffID v1.Hash
	size   int64 // sum of the files' sizes
	// archiveSize is the length of the plain archive.
	archiveSize int64
	// implied are the directories that the archive has no entry for, relative to
	// dir, parents first: they get their owner and mode from the layers below.
	implied []string
}

// maxHeaderBytes bounds the headers of one layer. The unpacker remembers paths,
// and a few megabytes can decompress to headers without end. A million files
// with paths of 200 bytes pass.
const maxHeaderBytes = 512 << 20

// tarBlock is the size of the smallest header of a tar.
const tarBlock = 512

// What remembering one entry costs beside its strings, about: the unpacker keeps
// the whole header of a directory.
const (
	headerOverhead    = 256
	directoryOverhead = 768
)

// maxPadding is what may follow the end of an archive: tools fill up a block of
// some kilobytes. Zeros without end would cost nothing to send.
const maxPadding = 64 << 20

// unpack applies a layer's archive, plain or compressed, to the new directory
// dir. Whiteouts become those of overlayfs: layers are lower directories of an
// overlay, and are never applied on top of each other.
func unpack(ctx context.Context, dir string, r io.Reader) (*tree, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	plain, err := decompress(r)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	sum := sha256.New()
	var length counter
	guarded, space, stop, err := keepSpace(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer stop()
	hashed := io.TeeReader(&guardedReader{ctx: guarded, inner: plain, space: space}, io.MultiWriter(sum, &length))
	u := unpacker{root: dir, explicit: map[string]bool{}, free: space.free, space: space}
	size, err := archive.Apply(guarded, dir, hashed, archive.WithFilter(u.filter), archive.WithConvertWhiteout(u.entry))
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) && length < tarBlock {
			return nil, fmt.Errorf("%w: %w", errNoTar, err)
		}
		if guarded.Err() != nil {
			err = context.Cause(guarded)
		}
		return nil, unpackError(err, dir)
	}
	// The archive ends before the stream does: padding belongs to the digest.
	padding, err := io.Copy(io.Discard, io.LimitReader(hashed, maxPadding+1))
	if err == nil && padding > maxPadding {
		err = fmt.Errorf("%w: it goes on for more than %d MiB after its end", errForged, maxPadding>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("read to the end: %w", err)
	}
	if err := u.finish(); err != nil {
		return nil, err
	}
	return &tree{
		dir:         dir,
		diffID:      v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))},
		size:        size,
		archiveSize: int64(length),
		implied:     u.implied(),
	}, nil
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// unpackError says what to do where that is known.
func unpackError(err error, dir string) error {
	if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("unpack to %s: %w; remove what is not needed with 'podrun image rm'", filepath.Dir(dir), err)
	}
	if errors.Is(err, tar.ErrHeader) {
		return errNoTar
	}
	return fmt.Errorf("unpack: %w", err)
}

// errForged is what a blob is that is not what its image says, or was made to harm.
var errForged = errors.New("the image is damaged or forged")

var errNoTar = errors.New("the file is no tar archive, plain or compressed with gzip or zstd")

// unpacker looks at the entries that archive.Apply makes.
type unpacker struct {
	root        string
	headerBytes int64
	// free is what is left of the space that the layer may take. A kilobyte of
	// archive can name a sparse file of exabytes.
	free    int64
	space   *space
	entries int
	// explicit holds the directories of the layer: true with an entry of their
	// own, false where a path implied them.
	explicit  map[string]bool
	whiteouts []string
	opaque    []string
}

// AUFS's names for what a layer takes away from those below it
// (OCI image-spec, layer.md, "Whiteouts").
const (
	whiteoutPrefix = ".wh."
	aufsPrefix     = ".wh..wh."
	opaqueMarker   = ".wh..wh..opq"
	xattrRecord    = "SCHILY.xattr."
	opaqueXattr    = "trusted.overlay.opaque"
)

// filter sees each header first.
func (u *unpacker) filter(h *tar.Header) (bool, error) {
	u.headerBytes += headerOverhead + int64(len(h.Name)+len(h.Linkname))
	if h.Typeflag == tar.TypeDir {
		u.headerBytes += directoryOverhead
	}
	for k, v := range h.PAXRecords {
		u.headerBytes += int64(len(k) + len(v))
		// trusted.overlay.* would make the overlay read other directories; the
		// unpacker refuses them too, but with a line on standard error each.
		if strings.HasPrefix(k, xattrRecord+"trusted.") {
			delete(h.PAXRecords, k)
		}
	}
	if u.headerBytes > maxHeaderBytes {
		return false, fmt.Errorf("%w: it has more files than podrun takes", errForged)
	}
	if u.entries++; u.entries%entriesStep == 0 {
		if err := u.space.short(); err != nil {
			return false, err
		}
	}
	if u.free -= h.Size; u.free < 0 {
		return false, fmt.Errorf("%q and the files before it are larger than the free space: %w", h.Name, unix.ENOSPC)
	}
	// AUFS's own files (.wh..wh.plnk, .wh..wh.aufs) mean nothing elsewhere.
	bookkeeping := strings.Contains("/"+h.Name, "/"+aufsPrefix) && filepath.Base(h.Name) != opaqueMarker
	return !bookkeeping, nil
}

// entry is told of each entry under its path in the layer, symlinks resolved,
// and keeps whiteouts for later: overlayfs has one name for what AUFS has two
// for, so a whiteout beside the file that replaces it, before or after it in
// the archive, would clash with it.
func (u *unpacker) entry(h *tar.Header, path string) (write bool, err error) {
	for dir := filepath.Dir(path); len(dir) > len(u.root); dir = filepath.Dir(dir) {
		if _, known := u.explicit[dir]; known {
			break
		}
		u.explicit[dir] = false
	}
	base := filepath.Base(path)
	switch {
	case base == opaqueMarker:
		u.opaque = append(u.opaque, filepath.Dir(path))
		return false, nil
	case strings.HasPrefix(base, whiteoutPrefix):
		u.whiteouts = append(u.whiteouts, filepath.Join(filepath.Dir(path), strings.TrimPrefix(base, whiteoutPrefix)))
		return false, nil
	case h.Typeflag == tar.TypeDir:
		u.explicit[path] = true
	}
	return true, nil
}

func (u *unpacker) implied() []string {
	maps.DeleteFunc(u.explicit, func(_ string, own bool) bool { return own })
	dirs := slices.Sorted(maps.Keys(u.explicit))
	for i, dir := range dirs {
		dirs[i] = strings.TrimPrefix(dir, u.root+"/")
	}
	return dirs
}

// finish makes the whiteouts, and opens the layer's root for all: a container's
// users enter through it. The mode that the archive has for its own top is not
// used, as containerd does not: archives of a mktemp directory say 0700.
func (u *unpacker) finish() error {
	root, err := os.OpenRoot(u.root)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, path := range u.whiteouts {
		if err := makeWhiteout(root, strings.TrimPrefix(path, u.root+"/")); err != nil {
			return fmt.Errorf("make whiteout of %s: %w", path, err)
		}
	}
	for _, path := range u.opaque {
		if err := makeOpaque(root, relative(u.root, path)); err != nil {
			return fmt.Errorf("make %s opaque: %w", path, err)
		}
	}
	return os.Chmod(u.root, 0o755)
}

func relative(root, path string) string {
	if path == root {
		return "."
	}
	return strings.TrimPrefix(path, root+"/")
}

// makeWhiteout hides name, a device 0/0 as overlayfs has it. What the layer has
// at that name itself stays: then the whiteout was for what is below it, so a
// directory becomes opaque. The path goes through os.Root, as a later entry may
// have put a symlink in the place of a directory.
func makeWhiteout(root *os.Root, name string) error {
	parent, err := openIn(root, filepath.Dir(name))
	if parent == nil {
		return err
	}
	defer parent.Close()
	var before, st unix.Stat_t
	fd, base := int(parent.Fd()), filepath.Base(name)
	if err := unix.Fstat(fd, &before); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	err = unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return makeOpaque(root, name)
	case err == nil:
		return nil
	case !errors.Is(err, unix.ENOENT):
		return os.NewSyscallError("fstatat", err)
	}
	if err := unix.Mknodat(fd, base, unix.S_IFCHR, 0); err != nil {
		return os.NewSyscallError("mknodat", err)
	}
	times := []unix.Timespec{before.Atim, before.Mtim}
	return os.NewSyscallError("utimensat", unix.UtimesNanoAt(fd, ".", times, 0))
}

// makeOpaque hides what lower layers have in the directory name.
func makeOpaque(root *os.Root, name string) error {
	dir, err := openIn(root, name)
	if dir == nil {
		return err
	}
	defer dir.Close()
	return os.NewSyscallError("fsetxattr", unix.Fsetxattr(int(dir.Fd()), opaqueXattr, []byte("y"), 0))
}

// openIn opens a directory of the layer, nil where a later entry has put
// something else in its place, be it a fifo that would block.
func openIn(root *os.Root, name string) (*os.File, error) {
	dir, err := root.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	return dir, err
}
