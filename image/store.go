// Package image owns the images on this machine: it turns a reference into
// unpacked read-only layers (pull, import, load), remembers which reference
// means what, and mounts the layers as a root filesystem. It leaves to the
// caller when to pull, which containers use an image, and all drawing of
// progress.
//
// A store is one directory:
//
//	lock                        the store's lock, see below
//	blobs/sha256/<hex>          manifests and configs, under their digest
//	layers/<24 hex>/            unpacked layers, named after their chain ID
//	layers/<24 hex>.json        what is known of that layer
//	layers/<24 hex>.files       its inventory, see inventory.go
//	references/<name>.json      one record for each reference and each image ID
//	garbage                     what removed images have left, see collect.go
//	tmp/                        whatever is not finished
//
// Compressed layers are not kept: they are unpacked while they arrive, so that
// an image costs its unpacked size and nothing else. Their digests stay known
// through the manifest.
//
// Nothing appears in its place before it is whole. A layer is unpacked in tmp
// and renamed; records are written after all that they name is in place and
// synced. So a writer that is killed leaves complete layers, which the next
// pull uses, and rubbish in tmp.
//
// Every writer holds the store's lock shared. Who gets it exclusively knows
// that nobody is writing: then tmp is rubbish, and a layer or blob that no
// record names may go. Two writers that want one layer take turns by a lock of
// that layer, and the second finds the work done. Readers take no lock.
package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"podrun/state"
	"podrun/step"
)

// Store is the images below one directory. Its methods may be called by any
// number of goroutines and processes at once.
type Store struct {
	dir string
}

// Open names the store at dir. It is cheap: nothing is read, and nothing is
// created before the first write.
func Open(dir string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("resolve image directory %q: %w", dir, err)
	}
	return &Store{dir: abs}, nil
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

func (s *Store) blobPath(h v1.Hash) string        { return s.path("blobs", h.Algorithm, h.Hex) }
func (s *Store) layerPath(name string) string     { return s.path("layers", name) }
func (s *Store) layerInfoPath(name string) string { return s.path("layers", name+infoSuffix) }
func (s *Store) inventoryPath(name string) string { return s.path("layers", name+inventorySuffix) }

// The files beside the directory of a layer.
const (
	infoSuffix      = ".json"
	inventorySuffix = ".files"
	lockSuffix      = ".lock" // in tmp
)

// subdirectories of a store. The store itself is closed to everybody but root:
// a layer holds setuid programs and other users' files as the image has them.
var subdirectories = []string{"blobs/sha256", "layers", "references", "tmp"}

// begin takes the store's lock for a writer, shared, and returns what ends its
// turn. On the way in and out it tidies, if nobody else is writing.
func (s *Store) begin(ctx context.Context) (end func(), err error) {
	lock, err := s.openStoreLock()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if err := s.tidyAlone(lock); err != nil {
		return nil, err
	}
	if err := waitLock(ctx, lock, unix.LOCK_SH); err != nil {
		return nil, fmt.Errorf("wait for the image store: %w", err)
	}
	return func() {
		// What this leaves behind, the next writer tidies.
		_ = s.tidyAlone(lock)
		lock.Close()
	}, nil
}

// tidyAlone removes what is unfinished, and what removed images left, if no
// other process or goroutine is writing.
func (s *Store) tidyAlone(lock *os.File) error {
	err := tryLock(lock, unix.LOCK_EX)
	if errors.Is(err, errBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.tidy()
	return err
}

// writeBlob stores data under its digest.
func (s *Store) writeBlob(h v1.Hash, data []byte) error {
	path := s.blobPath(h)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	defer step.Change("store blob")()
	return state.WriteFile(path, data, 0o600, state.Durable)
}

// layerInfo is kept beside an unpacked layer.
type layerInfo struct {
	ChainID v1.Hash `json:"chainID"`
	DiffID  v1.Hash `json:"diffID"`
	// Size is the sum of the sizes of the layer's files, in bytes.
	Size int64 `json:"size"`
	// Inventory is the digest of the layer's inventory.
	Inventory v1.Hash `json:"inventory"`
}

// layerInfo returns what is known of a layer, or fs.ErrNotExist where the layer
// is not there. The name is a shortened chain ID, the record has all of it, so
// that a layer never stands in for another one.
func (s *Store) layerInfo(chain v1.Hash) (layerInfo, error) {
	var info layerInfo
	name := layerName(chain)
	if _, err := os.Lstat(s.layerPath(name)); err != nil {
		return info, err
	}
	data, err := os.ReadFile(s.layerInfoPath(name))
	if err != nil {
		return info, err
	}
	if data, err = unseal(data); err == nil {
		err = json.Unmarshal(data, &info)
	}
	if err != nil {
		return info, fmt.Errorf("read %s: %w; %s", s.layerInfoPath(name), err, repairHint)
	}
	if info.ChainID != chain {
		return info, fmt.Errorf("layer %s has the name of layer %s; remove the image that has it", chain, info.ChainID)
	}
	return info, nil
}

// layerName shortens a chain ID to a directory name: all layers of an image
// are named in one mount option, which is a page at most (see Mount).
func layerName(chain v1.Hash) string { return chain.Hex[:layerNameLength] }

const layerNameLength = 24

// lockInterval is how often a waiting writer looks whether its turn has come.
// A lock is polled, since flock(2) cannot be given up when a context ends.
const lockInterval = 20 * time.Millisecond

var errBusy = errors.New("locked by another process")

func openLock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

// tryLock takes or changes a flock(2), errBusy if another open file has it.
func tryLock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return errBusy
		default:
			return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

func waitLock(ctx context.Context, f *os.File, how int) error {
	for {
		err := tryLock(f, how)
		if !errors.Is(err, errBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockInterval):
		}
	}
}

// isTemporary tells a file that an interrupted write left from a whole one:
// state.WriteFile starts the names of its temporary files with a dot.
func isTemporary(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") }
