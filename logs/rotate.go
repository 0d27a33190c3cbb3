package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"podrun/step"
)

// rotate makes the current file an old part of the log and begins a new one. It may be called again after a kill or an
// error at any point, and does what is left to do.
//
// Old parts are not compressed, unlike the kubelet's. They take at most MaxFiles × MaxBytes either way; compressing them
// would cost a container that prints 200 MB/s more processor time than writing its log does, and the writer, which is to
// be small, a megabyte of tables.
func (w *Writer) rotate() error {
	directory, current := filepath.Split(w.path)
	at := w.position.load()
	if at.phase != rotating {
		old, err := oldParts(directory, current)
		if err != nil {
			return err
		}
		at.phase, at.rotated = rotating, nextStamp(old, time.Now())
		w.position.store(at)
	}
	part := partPath(w.path, at.rotated)
	// The name was not in use when it was chosen. If it is now, the file was renamed before the kill.
	if _, err := os.Lstat(part); errors.Is(err, os.ErrNotExist) {
		defer step.Change("rotate log")()
		if err := os.Rename(w.path, part); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("rotate log: %w", err)
		}
	} else if err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	if err := w.open(); err != nil {
		return err
	}
	at.phase, at.offset = idle, 0
	w.position.store(at)
	w.removeExcess(directory, current)
	return nil
}

// removeExcess removes the oldest parts. What a kill or an error leaves over is tried again after the next rotation: it
// is no reason to hold up the container.
func (w *Writer) removeExcess(directory, current string) {
	defer step.Change("remove old logs")()
	old, err := oldParts(directory, current)
	if err != nil {
		return
	}
	for _, p := range old[:max(0, len(old)-w.options.MaxFiles+1)] {
		_ = os.Remove(filepath.Join(directory, p.name))
	}
}

// nextStamp returns the time in the name of the next old part. The kubelet's names count seconds, and more than one file
// may fill up in a second (or the clock may be set back): the next name is then a second later than the last, so that the
// names sort by age for everybody who knows the kubelet's.
func nextStamp(old []part, now time.Time) int64 {
	stamp := now.Unix()
	if len(old) > 0 {
		stamp = max(stamp, old[len(old)-1].stamp+1)
	}
	return stamp
}

// Prune removes the logs in a container's directory of all attempts before the given one: the kubelet keeps the logs of a
// container and of its previous attempt. It is idempotent.
func Prune(directory string, attempt int) error {
	defer step.Change("prune logs")()
	names, err := readNames(directory)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if p, ok := parseName(name); ok && p.attempt < attempt {
			if err := os.Remove(filepath.Join(directory, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, fmt.Errorf("remove old log: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}
