package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"podrun/state"
	"podrun/step"
)

// ErrNotFound is returned where the store has no such image.
var ErrNotFound = errors.New("image is not on this machine")

// Image is one image as a reference names it.
type Image struct {
	// Reference is the normalised reference, docker.io/library/busybox:latest.
	// It is empty where an image is found by its ID, or has no name.
	Reference string `json:"reference,omitempty"`
	// ID is the digest of the image's config, sha256:…
	ID string `json:"id"`
	// Digest is the digest of what the registry has under the reference, sha256:…,
	// so that name@digest means the same everywhere: of the index where the image
	// is for several platforms, else of the manifest.
	Digest string `json:"digest"`
	// Manifest is the digest of the manifest for this machine. Of an image that
	// came without one (Import, Load of a docker archive) it is the digest of the
	// manifest that the store wrote.
	Manifest string `json:"manifest"`
	// Source is the repository that the image was pulled from, and can be had from
	// again under its Digest; empty where it was imported or loaded.
	Source string `json:"source,omitempty"`
	// Config is what the image says of how to run it; every entry of Env is KEY=VALUE.
	Config v1.Config `json:"config"`
	// Layers are the absolute directories of the unpacked layers, lowest first.
	Layers []string `json:"layers"`
	// Size is the sum of the sizes of all files in all layers, in bytes.
	Size         int64     `json:"size"`
	Created      time.Time `json:"created"`
	Architecture string    `json:"architecture"`
	Variant      string    `json:"variant,omitempty"`
}

// Get returns the image of a reference (short or full, with tag, digest or
// both) or of an image ID (sha256:… or at least its first twelve digits).
// An unknown one is ErrNotFound, a malformed one a *PullError. It reads one
// small file, and does not look whether the layers are still there.
func (s *Store) Get(reference string) (*Image, error) {
	if digits, ok := idPrefix(reference); ok {
		return s.getByID(digits)
	}
	full, err := Normalize(reference)
	if err != nil {
		return nil, err
	}
	img, err := s.readRecord(recordName(full))
	if errors.Is(err, fs.ErrNotExist) {
		return s.getByDigest(full)
	}
	return img, err
}

// getByDigest finds an image that came under a tag and is asked for by what the
// tag stood for: name@digest means the same wherever the image is from.
func (s *Store) getByDigest(full string) (*Image, error) {
	if repository, digest, ok := strings.Cut(full, "@"); ok {
		records, _, err := s.records()
		if err != nil {
			return nil, err
		}
		for _, img := range records {
			if Repository(img.Reference) == repository && (img.Digest == digest || img.Manifest == digest) {
				return img, nil
			}
		}
	}
	return nil, fmt.Errorf("%s: %w", full, ErrNotFound)
}

func (s *Store) getByID(digits string) (*Image, error) {
	if len(digits) == 64 {
		img, err := s.readRecord(idRecordName("sha256:" + digits))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("sha256:%s: %w", digits, ErrNotFound)
		}
		return img, err
	}
	names, err := s.recordNames()
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, "sha256:"+digits) })
	switch len(names) {
	case 0:
		return nil, fmt.Errorf("%s: %w", digits, ErrNotFound)
	case 1:
		return s.readRecord(names[0])
	}
	return nil, fmt.Errorf("%d images have an ID that starts with %s; give more digits", len(names), digits)
}

// List returns the images, sorted by reference: one entry for each reference,
// and one without a reference for each image that no reference names any more.
// Where records are damaged it returns the others with the error.
func (s *Store) List() ([]*Image, error) {
	records, damaged, err := s.records()
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	for _, img := range records {
		if img.Reference != "" {
			named[img.ID] = true
		}
	}
	records = slices.DeleteFunc(records, func(img *Image) bool { return img.Reference == "" && named[img.ID] })
	slices.SortFunc(records, func(a, b *Image) int {
		if a.Reference == "" || b.Reference == "" {
			return strings.Compare(b.Reference, a.Reference)
		}
		return strings.Compare(a.Reference, b.Reference)
	})
	return records, errors.Join(damaged...)
}

// records reads all records: of references and of IDs. What cannot be read is
// told apart: one damaged file must not keep all other images from being used.
func (s *Store) records() (images []*Image, damaged []error, err error) {
	names, err := s.recordNames()
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		img, err := s.readRecord(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			damaged = append(damaged, err)
		default:
			images = append(images, img)
		}
	}
	return images, damaged, nil
}

func (s *Store) recordNames() ([]string, error) {
	entries, err := os.ReadDir(s.path("references"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !isTemporary(e) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// record is Image on disk: its layers are names, so that a store can be moved.
type record struct {
	Version int `json:"version"`
	Image
}

const recordVersion = 1

func (s *Store) readRecord(name string) (*Image, error) {
	path := s.path("references", name)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r record
	if data, err = unseal(data); err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		return nil, fmt.Errorf("read image record %s: %w; %s", path, err, repairHint)
	}
	if r.Version != recordVersion {
		return nil, fmt.Errorf("read image record %s: version %d is not known to this podrun", path, r.Version)
	}
	for i, layer := range r.Layers {
		if len(layer) != layerNameLength || strings.Trim(layer, "0123456789abcdef") != "" {
			return nil, fmt.Errorf("read image record %s: it names a layer %q; %s", path, layer, repairHint)
		}
		r.Layers[i] = s.layerPath(layer)
	}
	return &r.Image, nil
}

// writeRecords makes an image visible: under its ID, then under each reference.
// All that it names must be in place and synced. It returns one Image a
// reference, or the one without a reference if there is none.
func (s *Store) writeRecords(img Image, layers, references []string) ([]*Image, error) {
	unlock, err := s.lockReferences()
	if err != nil {
		return nil, err
	}
	defer unlock()
	var images []*Image
	for _, ref := range append([]string{""}, references...) {
		img.Reference, img.Layers = ref, layers
		data, err := json.Marshal(record{Version: recordVersion, Image: img})
		if err != nil {
			return nil, err
		}
		name := idRecordName(img.ID)
		if ref != "" {
			name = recordName(ref)
		}
		if err := s.writeRecord(name, seal(data)); err != nil {
			return nil, fmt.Errorf("record image: %w", err)
		}
		visible := img
		visible.Layers = make([]string, len(layers))
		for i, layer := range layers {
			visible.Layers[i] = s.layerPath(layer)
		}
		images = append(images, &visible)
	}
	if len(references) > 0 {
		images = images[1:]
	}
	return images, nil
}

// writeRecord leaves a record alone that is the same already: with the policy
// Always each container start is a pull.
func (s *Store) writeRecord(name string, data []byte) error {
	path := s.path("references", name)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	defer step.Change("write image record")()
	return state.WriteFile(path, data, 0o600, state.Durable)
}

// Hold keeps all images from being removed until release is called. Who stores that
// a pod needs some holds them meanwhile: a removal looks for users and removes in one
// turn, so it either finds the pod, or is through before there is one. It waits for
// that turn, and for records that are being written, never for a pull.
func (s *Store) Hold() (release func(), err error) {
	release, err = s.lockReferencesAs(unix.LOCK_SH)
	if errors.Is(err, fs.ErrNotExist) { // there was never an image
		return func() {}, nil
	}
	return release, err
}

// lockReferences serialises the changes of records, which are short.
func (s *Store) lockReferences() (unlock func(), err error) { return s.lockReferencesAs(unix.LOCK_EX) }

// lockReferencesAs locks the directory itself.
func (s *Store) lockReferencesAs(how int) (unlock func(), err error) {
	dir, err := os.Open(s.path("references"))
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(dir.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		dir.Close()
		return nil, &os.PathError{Op: "flock", Path: dir.Name(), Err: err}
	}
	return func() { dir.Close() }, nil
}
