package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"podrun/step"
)

// Object is what is kept by namespace and name for any pod: a *v1.ConfigMap, a
// *v1.Secret or a *v1.PersistentVolumeClaim.
type Object interface {
	metav1.Object
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

// storedObject is an object on disk, in the API's protobuf like those of a record.
type storedObject struct {
	Version int    `json:"version"`
	Object  []byte `json:"object"`
}

// objectKinds are the directories of the kinds, named as the API names them.
func objectKind(o Object) string {
	switch o.(type) {
	case *v1.ConfigMap:
		return "configmaps"
	case *v1.Secret:
		return "secrets"
	case *v1.PersistentVolumeClaim:
		return "persistentvolumeclaims"
	}
	panic(fmt.Sprintf("no objects of type %T are kept", o))
}

func (s *Store) objectsDir() string { return filepath.Join(s.Root, "objects") }

func (s *Store) objectDir(namespace string, o Object) string {
	return filepath.Join(s.objectsDir(), namespace, objectKind(o))
}

// ObjectPath is the file of the kept object of o's kind and name.
func (s *Store) ObjectPath(namespace, name string, o Object) string {
	return filepath.Join(s.objectDir(namespace, o), name)
}

// LockObjects waits for its turn to change kept objects. The caller has it until
// it closes the file. Readers need no lock: an object changes in one step.
func (s *Store) LockObjects() (*os.File, error) {
	if err := os.MkdirAll(s.objectsDir(), 0o700); err != nil {
		return nil, err
	}
	dir, err := os.Open(s.objectsDir())
	if err != nil {
		return nil, err
	}
	if err := flock(dir); err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

// ReadObject fills o with the kept object of its kind; the error is
// os.ErrNotExist where there is none, as for all that cannot be a name.
func (s *Store) ReadObject(namespace, name string, o Object) error {
	path := filepath.Join(s.objectDir(namespace, o), name)
	if !isEntry(namespace) || !isEntry(name) || strings.HasPrefix(name, ".") {
		return &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	}
	var on storedObject
	err := readJSON(path, &on)
	if on.Version > Version {
		return fmt.Errorf("%s has version %d, this podrun reads up to %d: use the newer podrun", path, on.Version, Version)
	}
	if err != nil {
		return err
	}
	if err := o.Unmarshal(on.Object); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	if o.GetNamespace() != namespace || o.GetName() != name {
		return fmt.Errorf("decode %s: it is the object %s/%s", path, o.GetNamespace(), o.GetName())
	}
	return nil
}

// ObjectStamp changes whenever the kept object of o's kind and name does. It is
// empty where there is none.
func (s *Store) ObjectStamp(namespace, name string, o Object) string {
	info, err := os.Stat(filepath.Join(s.objectDir(namespace, o), name))
	if err != nil || !isEntry(namespace) || !isEntry(name) {
		return ""
	}
	inode := uint64(0) // each version is a file of its own
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = stat.Ino
	}
	return fmt.Sprint(inode, info.ModTime().UnixNano())
}

// WriteObject keeps o durably, in place of one of its name, readable by its
// owner only. The caller has its turn (LockObjects).
func (s *Store) WriteObject(o Object) error {
	defer step.Change("write object")()
	if !isEntry(o.GetNamespace()) || !isEntry(o.GetName()) || strings.HasPrefix(o.GetName(), ".") {
		return fmt.Errorf("keep %s/%s: this cannot be a name", o.GetNamespace(), o.GetName())
	}
	encoded, err := o.Marshal()
	if err != nil {
		return fmt.Errorf("encode object: %w", err)
	}
	data, err := json.Marshal(storedObject{Version: Version, Object: encoded})
	if err != nil {
		return fmt.Errorf("encode object: %w", err)
	}
	dir := s.objectDir(o.GetNamespace(), o)
	if err := s.makeObjectDir(dir); err != nil {
		return err
	}
	if err := RemoveParts(dir); err != nil {
		return err
	}
	return WriteFile(filepath.Join(dir, o.GetName()), data, 0o600, Durable)
}

// makeObjectDir makes the directory of a kind durable, with those above it.
func (s *Store) makeObjectDir(dir string) error {
	defer step.Change("make directory of objects")()
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(dir)), syncDir(s.objectsDir()), syncDir(s.Root))
}

// RemoveObject forgets the kept object of o's kind and name; os.ErrNotExist where
// there is none, as after one that was killed: what that has left goes now. The
// caller has its turn (LockObjects).
func (s *Store) RemoveObject(namespace, name string, o Object) error {
	defer step.Change("remove object")()
	dir := s.objectDir(namespace, o)
	path := filepath.Join(dir, name)
	if !isEntry(namespace) || !isEntry(name) {
		return &os.PathError{Op: "remove", Path: path, Err: os.ErrNotExist}
	}
	err := os.Remove(path)
	if err == nil {
		err = syncDir(dir)
	}
	err = errors.Join(err, RemoveParts(dir))
	defer step.Change("remove directory of objects")()
	os.Remove(dir) // these two go only when they are empty
	os.Remove(filepath.Dir(dir))
	return err
}

// ObjectNames lists the kept objects of o's kind in a namespace, or in all where
// namespace is empty, sorted.
func (s *Store) ObjectNames(namespace string, o Object) ([]Ref, error) {
	namespaces := []string{namespace}
	if namespace == "" {
		var err error
		if namespaces, err = entries(s.objectsDir()); err != nil {
			return nil, err
		}
	}
	var refs []Ref
	for _, ns := range namespaces {
		if !isEntry(ns) {
			continue
		}
		names, err := entries(s.objectDir(ns, o))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if !strings.HasPrefix(name, ".") { // a file that is being written
				refs = append(refs, Ref{Namespace: ns, Name: name})
			}
		}
	}
	return refs, nil
}
