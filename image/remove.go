package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"podrun/step"
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
	records, _, err := s.records()
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
	if others == 0 {
		if err := s.markGarbage(partsOf(img)); err != nil {
			return err
		}
	}
	return s.removeRecords(doomed)
}

// removeRecords removes names before the ID, so that no reference is left without
// an image. What there is to collect then is marked before.
func (s *Store) removeRecords(names []string) error {
	for _, name := range names {
		if err := s.removeRecord(name); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) removeRecord(name string) error {
	defer step.Change("remove image record")()
	if err := os.Remove(s.path("references", name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
