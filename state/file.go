package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"podrun/step"
)

// Durability says what a written file must survive.
type Durability bool

const (
	// Volatile files appear atomically; a power cut may bring back the old one.
	Volatile Durability = false
	// Durable files and their directory entry are synced before the call returns.
	Durable Durability = true
)

// WriteFile replaces path by data in one step: a reader, or a reboot, sees the
// old content or the new, never a part.
func WriteFile(path string, data []byte, mode os.FileMode, d Durability) (err error) {
	dir := filepath.Dir(path)
	// A file's name may be as long as a name can be; that of the temporary has room for more.
	base := filepath.Base(path)
	tmp, err := os.CreateTemp(dir, "."+base[:min(len(base), 200)]+".")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if err := tmp.Chmod(mode); err != nil {
		return err
	}
	if err := fill(tmp, data, d); err != nil {
		return err
	}
	defer step.Change("replace file")()
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	if d == Durable {
		return syncDir(dir)
	}
	return nil
}

// IsPart tells the name of a file that WriteFile has not finished: a dot, the name
// and a number.
func IsPart(name string) bool {
	at := strings.LastIndexByte(name, '.')
	return at > 0 && name[0] == '.' && at < len(name)-1 && strings.Trim(name[at+1:], "0123456789") == ""
}

// RemoveParts removes the files of a directory that those have left who were killed
// in WriteFile. The caller keeps others from writing there meanwhile.
func RemoveParts(dir string) error {
	names, err := entries(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if IsPart(name) {
			done := step.Change("remove unfinished file")
			errs = append(errs, os.Remove(filepath.Join(dir, name)))
			done()
		}
	}
	return errors.Join(errs...)
}

// RemovePartsOf is RemoveParts for one file, where the directory is not podrun's own.
func RemovePartsOf(path string) error {
	dir, base := filepath.Split(path)
	names, err := entries(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if IsPart(name) && strings.HasPrefix(name, "."+base+".") {
			errs = append(errs, os.Remove(filepath.Join(dir, name)))
		}
	}
	return errors.Join(errs...)
}

// fill writes the data and closes the file.
func fill(f *os.File, data []byte, d Durability) error {
	defer step.Change("fill file")()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if d == Durable {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return f.Close()
}

// syncDir makes the entries of dir durable: fsync of a file does not cover its
// name (fsync(2)).
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
