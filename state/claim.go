package state

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"podrun/step"
)

// NewUID is a random UUID (RFC 9562, version 4).
func NewUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// ClaimedError says which pod holds a name.
type ClaimedError struct{ Namespace, Name, UID string }

func (e *ClaimedError) Error() string {
	return fmt.Sprintf("pod %s/%s exists (uid %s)", e.Namespace, e.Name, e.UID)
}

// Ref is one claimed pod name.
type Ref struct{ Namespace, Name, UID string }

// ClaimPath is the link that is the claim of a name.
func (s *Store) ClaimPath(namespace, name string) string {
	return filepath.Join(s.Root, "names", namespace, name)
}

// Claim gives namespace/name to uid, durably, or returns a *ClaimedError. It is
// one call of symlink(2), so that of two claimants exactly one wins.
func (s *Store) Claim(namespace, name, uid string) error {
	path := s.ClaimPath(namespace, name)
	for {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		done := step.Change("claim name")
		err := os.Symlink(uid, path)
		done()
		switch {
		case err == nil:
			return syncDir(filepath.Dir(path))
		case errors.Is(err, os.ErrNotExist):
			continue // the last pod of the namespace took the directory with it
		case !errors.Is(err, os.ErrExist):
			return err
		}
		holder, err := s.Lookup(namespace, name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		return &ClaimedError{Namespace: namespace, Name: name, UID: holder}
	}
}

// Lookup returns the uid that holds namespace/name, or an error that is
// os.ErrNotExist, as for all that cannot be a name.
func (s *Store) Lookup(namespace, name string) (string, error) {
	path := s.ClaimPath(namespace, name)
	if !isEntry(namespace) || !isEntry(name) {
		return "", &os.PathError{Op: "readlink", Path: path, Err: os.ErrNotExist}
	}
	return os.Readlink(path)
}

// isEntry tells what can be one entry of a directory from what leads elsewhere.
func isEntry(name string) bool {
	return name == filepath.Base(name) && filepath.IsLocal(name) && name != "."
}

// Release gives up namespace/name if uid holds it. Two of them at once take
// turns: between the look and the removal the name could else pass to another
// pod, which would lose it.
func (s *Store) Release(namespace, name, uid string) error {
	turn, err := os.Open(filepath.Join(s.Root, "names"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer turn.Close()
	if err := flock(turn); err != nil {
		return err
	}
	path := s.ClaimPath(namespace, name)
	holder, err := os.Readlink(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && holder != uid {
		return nil
	}
	if err != nil {
		return err
	}
	done := step.Change("release name")
	if err := os.Remove(path); err != nil {
		return err
	}
	done()
	os.Remove(filepath.Dir(path)) // goes only when it is empty
	return nil
}

// ForgetNamespaces removes the directories of namespaces without names, which a
// Release that was killed has left, and of those without volumes, which the removal
// of a claim has.
func (s *Store) ForgetNamespaces() error {
	return errors.Join(forgetEmpty(filepath.Join(s.Root, "names")), forgetEmpty(filepath.Dir(s.ClaimDir("x"))))
}

func forgetEmpty(top string) error {
	namespaces, err := entries(top)
	if err != nil {
		return err
	}
	for _, ns := range namespaces {
		dir := filepath.Join(top, ns)
		if in, err := entries(dir); err == nil && len(in) == 0 {
			done := step.Change("remove directory of a namespace")
			os.Remove(dir) // stays where something has come
			done()
		}
	}
	return nil
}

// SyncNames makes durable which names of a namespace are given up.
func (s *Store) SyncNames(namespace string) error {
	err := syncDir(filepath.Join(s.Root, "names", namespace))
	if errors.Is(err, os.ErrNotExist) { // it went with its last name
		return syncDir(filepath.Join(s.Root, "names"))
	}
	return err
}

// Names lists the claimed names of one namespace, or of all where namespace is
// empty, sorted.
func (s *Store) Names(namespace string) ([]Ref, error) {
	namespaces := []string{namespace}
	if namespace == "" {
		var err error
		if namespaces, err = entries(filepath.Join(s.Root, "names")); err != nil {
			return nil, err
		}
	}
	var refs []Ref
	for _, ns := range namespaces {
		if !isEntry(ns) {
			continue
		}
		names, err := entries(filepath.Join(s.Root, "names", ns))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			uid, err := s.Lookup(ns, name)
			if errors.Is(err, os.ErrNotExist) {
				continue // went away while we looked
			}
			if err != nil {
				return nil, err
			}
			refs = append(refs, Ref{Namespace: ns, Name: name, UID: uid})
		}
	}
	return refs, nil
}

// entries are the names in a directory, sorted; none where it is missing.
func entries(dir string) ([]string, error) {
	found, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	names := make([]string, 0, len(found))
	for _, e := range found {
		names = append(names, e.Name())
	}
	return names, nil
}
