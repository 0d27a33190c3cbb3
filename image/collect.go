package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"podrun/step"
)

// Freed is what has been removed from a store.
type Freed struct {
	Images, Layers, Blobs int
	// Unfinished are the remains of writers that were killed.
	Unfinished int
	// Bytes are what the files took on the disk.
	Bytes int64
}

// tidy removes what is unfinished, and what removed images left. The caller has
// the store for itself.
func (s *Store) tidy() (Freed, error) {
	var freed Freed
	unfinished, bytes, err := s.removeUnfinished()
	freed.Unfinished, freed.Bytes = unfinished, bytes
	if err != nil {
		return freed, err
	}
	marked, err := s.garbage()
	if err != nil || marked == nil {
		return freed, err
	}
	if err := s.collect(&freed, func(part string) bool { return marked[part] }); err != nil {
		return freed, fmt.Errorf("remove unused layers: %w", err)
	}
	return freed, nil
}

// garbageName is a file of the store: the parts of images that were removed, a line
// each, until they are gone. Others are left to Prune, which knows what pods use.
const garbageName = "garbage"

func (s *Store) markGarbage(parts []string) error {
	defer step.Change("mark garbage")()
	f, err := os.OpenFile(s.path(garbageName), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(parts, "\n") + "\n")
	return errors.Join(err, f.Close())
}

// garbage is nil where nothing is marked.
func (s *Store) garbage() (map[string]bool, error) {
	data, err := os.ReadFile(s.path(garbageName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	parts := map[string]bool{}
	for part := range strings.FieldsSeq(string(data)) {
		parts[part] = true
	}
	return parts, nil
}

func (s *Store) unmarkGarbage() error {
	defer step.Change("unmark garbage")()
	if err := os.Remove(s.path(garbageName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeUnfinished removes what writers left that were killed: all of tmp, and the
// temporary files of state.WriteFile, which are beside what they would replace.
func (s *Store) removeUnfinished() (n int, bytes int64, err error) {
	for _, dir := range subdirectories {
		entries, err := os.ReadDir(s.path(dir))
		if err != nil {
			return n, bytes, err
		}
		for _, e := range entries {
			if dir != "tmp" && !isTemporary(e) {
				continue
			}
			size, err := s.discard(s.path(dir, e.Name()))
			if err != nil {
				return n, bytes, fmt.Errorf("remove unfinished %s: %w", e.Name(), err)
			}
			if !strings.HasSuffix(e.Name(), lockSuffix) {
				n++
			}
			bytes += size
		}
	}
	return n, bytes, nil
}

// discard removes a file or a tree of the store, and says what it took on the disk.
func (s *Store) discard(path string) (bytes int64, err error) {
	defer step.Change("discard")()
	_ = filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && unix.Lstat(path, &st) == nil && (st.Nlink < 2 || st.Mode&unix.S_IFMT == unix.S_IFDIR) {
			bytes += st.Blocks * 512
		}
		return nil // what cannot be measured can be removed
	})
	return bytes, os.RemoveAll(path)
}

// collect removes those layers and blobs among the doomed ones that no record
// names. While a record cannot be read, nobody knows what it names, and everything stays.
func (s *Store) collect(freed *Freed, doomed func(part string) bool) error {
	records, damaged, err := s.records()
	if err != nil || len(damaged) > 0 {
		return err
	}
	keep := allParts(records)
	goes := func(part string) bool { return !keep[part] && doomed(part) }
	if err := s.collectLayers(goes, freed); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.path("blobs", "sha256"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !goes(e.Name()) {
			continue
		}
		size, err := s.discard(s.path("blobs", "sha256", e.Name()))
		if err != nil {
			return err
		}
		freed.Blobs++
		freed.Bytes += size
	}
	return s.unmarkGarbage()
}

// allParts are the layers and blobs of all these images.
func allParts(records []*Image) map[string]bool {
	parts := map[string]bool{}
	for _, img := range records {
		for _, part := range partsOf(img) {
			parts[part] = true
		}
	}
	return parts
}

// collectLayers moves what is not kept to tmp first, in one step each: half a
// layer must never have a layer's name.
func (s *Store) collectLayers(goes func(part string) bool, freed *Freed) error {
	entries, err := os.ReadDir(s.path("layers"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !goes(layerOfEntry(e.Name())) {
			continue
		}
		size, err := s.retire(e.Name())
		if err != nil {
			return err
		}
		if e.IsDir() {
			freed.Layers++
		}
		freed.Bytes += size
	}
	return nil
}

// retire removes an entry of layers.
func (s *Store) retire(name string) (bytes int64, err error) {
	defer step.Change("retire layer")()
	removed := s.path("tmp", "removed-"+name)
	if err := os.RemoveAll(removed); err != nil {
		return 0, err
	}
	if err := os.Rename(s.path("layers", name), removed); err != nil {
		return 0, err
	}
	return s.discard(removed)
}

// layerOfEntry is the layer that an entry of layers belongs to.
func layerOfEntry(name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(name, infoSuffix), inventorySuffix)
}
