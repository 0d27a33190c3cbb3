package monitor

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"podrun/state"
)

// keepNew is keep for a uid that nobody else knows, but for a Sweep, which may
// hold the lock for a moment and take the directory away.
func keepNew(s *state.Store, uid string) (*os.File, error) {
	for ; ; time.Sleep(time.Millisecond) {
		lock, err := keep(s, uid)
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, state.ErrLocked) {
			return lock, err
		}
	}
}

// Sweep removes what those have left who were killed before they had claimed a
// name or after they had released it: run directories that no name leads to and
// whose lock nobody holds, and namespaces without names or without volumes. It is
// safe beside anything else.
func Sweep(s *state.Store) error { return errors.Join(s.ForgetNamespaces(), sweepRuns(s)) }

func sweepRuns(s *state.Store) error {
	found, err := os.ReadDir(filepath.Dir(s.RunDir("x")))
	if err != nil || len(found) == 0 {
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return err
	}
	named, err := uidsWithNames(s) // after the directories: a name that is claimed has one
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range found {
		if !named[d.Name()] {
			errs = append(errs, sweep(s, d.Name()))
		}
	}
	return errors.Join(errs...)
}

func sweep(s *state.Store, uid string) error {
	lock, err := state.TryLock(lockPath(s, uid))
	if errors.Is(err, state.ErrLocked) || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	named, err := uidsWithNames(s) // whoever held the lock may have claimed one meanwhile
	if err != nil || named[uid] {
		return err
	}
	return RemoveRun(s, uid)
}

func uidsWithNames(s *state.Store) (map[string]bool, error) {
	refs, err := s.Names("")
	named := make(map[string]bool, len(refs))
	for _, r := range refs {
		named[r.UID] = true
	}
	return named, err
}
