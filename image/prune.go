package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pruneWait is how long a prune waits for pulls and imports to end.
var pruneWait = 10 * time.Second

// Prune removes the images that have no name and that no pod uses, with all also
// those that have one, and then what no image has: layers, blobs, remains of
// writers that were killed. It has the store for itself: while something is being
// pulled it removes nothing. gone are the names of the images.
func (s *Store) Prune(ctx context.Context, all bool, users Users) (freed Freed, gone []string, err error) {
	lock, err := s.openStoreLock()
	if err != nil {
		return freed, nil, err
	}
	defer lock.Close()
	waiting, cancel := context.WithTimeoutCause(ctx, pruneWait, errBusy)
	defer cancel()
	err = waitLock(waiting, lock, unix.LOCK_EX)
	if errors.Is(err, errBusy) {
		return freed, nil, errors.New("prune images: another podrun is pulling, importing or checking; nothing was removed, try again when it is through")
	}
	if err != nil {
		return freed, nil, err
	}
	freed.Unfinished, freed.Bytes, err = s.removeUnfinished()
	if err != nil {
		return freed, nil, err
	}
	freed.Images, gone, err = s.removeUnused(all, users)
	if err != nil {
		return freed, gone, err
	}
	err = s.collect(&freed, func(string) bool { return true })
	return freed, gone, err
}

// removeUnused looks for users and removes in one turn; see Hold. It takes the names
// away only: to free gigabytes takes time, and nobody finds them any more.
func (s *Store) removeUnused(all bool, users Users) (n int, gone []string, err error) {
	unlock, err := s.lockReferences()
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	unused, err := s.unused(all, users)
	if err != nil {
		return 0, nil, err
	}
	for _, img := range unused {
		if err := s.removeRecords(img.records); err != nil {
			return n, gone, err
		}
		n++
		gone = append(gone, img.names...)
	}
	return n, gone, nil
}

// Prunable says what Prune would remove: the names of the images, and whether
// there is anything else. It waits for nobody and changes nothing, so that what is
// being pulled counts as left.
func (s *Store) Prunable(all bool, users Users) (names []string, remains bool, err error) {
	unused, err := s.unused(all, users)
	if err != nil {
		return nil, false, err
	}
	for _, img := range unused {
		names = append(names, img.names...)
	}
	records, _, err := s.records()
	if err != nil {
		return nil, false, err
	}
	keep := allParts(records)
	for _, dir := range subdirectories {
		entries, err := os.ReadDir(s.path(dir))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, false, err
		}
		for _, e := range entries {
			part := dir == "references" || dir != "tmp" && keep[layerOfEntry(e.Name())]
			if (!part || isTemporary(e)) && !strings.HasSuffix(e.Name(), lockSuffix) {
				remains = true
			}
		}
	}
	return names, remains, nil
}

// pruned is an image that goes, with its records, the one of its ID last.
type pruned struct{ names, records []string }

func (s *Store) unused(all bool, users Users) ([]*pruned, error) {
	records, damaged, err := s.records()
	if err != nil {
		return nil, err
	}
	if len(damaged) > 0 {
		return nil, fmt.Errorf("prune images: %w", errors.Join(damaged...))
	}
	pods, err := users()
	if err != nil {
		return nil, err
	}
	byID, order := map[string]*pruned{}, []string{}
	for _, img := range records {
		p := byID[img.ID]
		if p == nil {
			p = &pruned{}
			byID[img.ID], order = p, append(order, img.ID)
		}
		if img.Reference != "" {
			p.names = append(p.names, img.Reference)
			p.records = append(p.records, recordName(img.Reference))
		}
	}
	for id, pod := range pods {
		// Its layers would go with those of nobody.
		if byID[id] == nil {
			return nil, fmt.Errorf("prune images: pod %s uses image %s, which has no record; %s", pod, id, repairHint)
		}
	}
	var list []*pruned
	for _, id := range order {
		p := byID[id]
		if pods[id] != "" || len(p.names) > 0 && !all {
			continue
		}
		if len(p.names) == 0 {
			p.names = []string{id}
		}
		p.records = append(p.records, idRecordName(id))
		list = append(list, p)
	}
	return slices.Clip(list), nil
}

// openStoreLock makes the store's directories and opens its lock.
func (s *Store) openStoreLock() (*os.File, error) {
	for _, dir := range subdirectories {
		if err := os.MkdirAll(s.path(dir), 0o700); err != nil {
			return nil, err
		}
	}
	return openLock(s.path("lock"))
}
