package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Remove takes a reference away, and the image itself with its layers when no
// other reference names it. Given an ID it takes away the image with all its
// references. An image that loses its last name is refused while inUse, asked
// with the image ID, names a pod; nil means that no pod
// uses any image. Layers that another image has stay, and those that a pull may
// be about to use stay until no pull is running.
func (s *Store) Remove(ctx context.Context, reference string, inUse func(imageID string) (pod string, err error)) error {
	img, err := s.Get(reference)
	if err != nil {
		return err
	}
	end, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	unlock, err := s.lockReferences()
	if err != nil {
		return err
	}
	defer unlock()
	records, err := s.records()
	if err != nil {
		return err
	}
	doomed, others := []string{}, 0
	for _, r := range records {
		switch {
		case r.ID != img.ID || r.Reference == "":
		case img.Reference == "" || r.Reference == img.Reference:
			doomed = append(doomed, recordName(r.Reference))
		default:
			others++
		}
	}
	if others == 0 {
		if inUse != nil {
			pod, err := inUse(img.ID)
			if err != nil {
				return err
			}
			if pod != "" {
				return fmt.Errorf("image %s is used by pod %s; take the pod down first", reference, pod)
			}
		}
		doomed = append(doomed, idRecordName(img.ID))
	}
	return s.removeRecords(doomed, others == 0)
}

// removeRecords removes names before the ID, so that no reference is left
// without an image, and marks that there is something to collect before that.
func (s *Store) removeRecords(names []string, last bool) error {
	if last {
		if err := os.WriteFile(s.path(garbageMark), nil, 0o600); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := os.Remove(s.path("references", name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// collect removes the layers and blobs that no record names. The caller has the
// store for itself.
func (s *Store) collect() error {
	records, err := s.records()
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, img := range records {
		for _, layer := range img.Layers {
			keep[filepath.Base(layer)] = true
		}
		keep[strings.TrimPrefix(img.ID, "sha256:")] = true
		keep[strings.TrimPrefix(img.Manifest, "sha256:")] = true
	}
	if err := s.collectLayers(keep); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.path("blobs", "sha256"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if keep[e.Name()] {
			continue
		}
		if err := os.Remove(s.path("blobs", "sha256", e.Name())); err != nil {
			return err
		}
	}
	return os.Remove(s.path(garbageMark))
}

// collectLayers moves what is not kept to tmp in one step each: half a layer
// must never have a layer's name.
func (s *Store) collectLayers(keep map[string]bool) error {
	entries, err := os.ReadDir(s.path("layers"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".json")
		if keep[name] {
			continue
		}
		if err := os.Rename(s.path("layers", e.Name()), s.path("tmp", "removed-"+e.Name())); err != nil {
			return err
		}
	}
	return nil
}
