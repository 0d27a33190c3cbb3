package image

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Problem is something in the store that is not as it was stored.
type Problem struct {
	// What is damaged and how, such as "layer 0123… of busybox: bin/sh is missing".
	What string `json:"what"`
	// Images are those that cannot be used, or not safely: references, or an ID.
	Images []string `json:"images,omitempty"`
	// Done is what repair has done about it; empty: nothing.
	Done string `json:"done,omitempty"`
	// Left is why it is still there, and what to do.
	Left string `json:"left,omitempty"`

	kind problemKind
	name string // of the file in its directory of the store
	busy string // the pod that uses the layer
}

type problemKind int

const (
	badRecord problemKind = iota
	badBlob
	badLayer
)

// Report is what a check has come to.
type Report struct {
	Images   int        `json:"images"`
	Layers   int        `json:"layers"`
	Blobs    int        `json:"blobs"`
	Problems []*Problem `json:"problems"`
}

// Whole reports whether nothing is damaged, or not any more.
func (r *Report) Whole() bool {
	return !slices.ContainsFunc(r.Problems, func(p *Problem) bool { return p.Done == "" })
}

// Users tells which images pods use: the ID of each, and a pod that uses it. A pod
// uses what its containers were made of and what its record names.
type Users func() (pods map[string]string, err error)

// Check reads the whole store and tells what is damaged: blobs that have another
// digest than their name, layers that are not what was unpacked, records that
// contradict those. Others may pull and remove meanwhile. users may be nil.
func (s *Store) Check(ctx context.Context, users Users) (*Report, error) {
	end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	c, err := s.check(ctx, users)
	if err != nil {
		return nil, err
	}
	return &c.Report, nil
}

// checker is a check on its way.
type checker struct {
	Report
	store   *Store
	users   Users             // may be nil
	pods    map[string]string // image ID to pod
	records []*Image
	unread  map[string]bool       // names of records that are damaged
	blobs   map[string]bool       // the digits of blobs that are whole
	layers  map[string]*layerInfo // layers that are whole, by name; nil: there, but damaged
}

func (s *Store) check(ctx context.Context, users Users) (*checker, error) {
	c := &checker{store: s, users: users, pods: map[string]string{}, unread: map[string]bool{}, blobs: map[string]bool{}, layers: map[string]*layerInfo{}}
	if err := c.askUsers(); err != nil {
		return nil, err
	}
	// Records first: what they name is there before them, and is not collected
	// while a writer is at work.
	for _, part := range []func(context.Context) error{c.readRecords, c.readBlobs, c.readLayers} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	c.crossCheck()
	return c, nil
}

func (c *checker) askUsers() error {
	if c.users == nil {
		return nil
	}
	pods, err := c.users()
	if err == nil {
		c.pods = pods
	}
	return err
}

func (c *checker) tell(p *Problem) { c.Problems = append(c.Problems, p) }

// readRecords reads all records, and tells of those that cannot be read or lie
// under the wrong name.
func (c *checker) readRecords(context.Context) error {
	names, err := c.store.recordNames()
	if err != nil {
		return err
	}
	ids := map[string]bool{}
	for _, name := range names {
		img, err := c.store.readRecord(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err == nil && name != recordName(cmp.Or(img.Reference, img.ID)) {
			err = fmt.Errorf("it is the record of %s", cmp.Or(img.Reference, img.ID))
		}
		if err != nil {
			c.unread[name] = true
			c.tell(&Problem{What: fmt.Sprintf("record %s: %v", name, plainly(err)), Images: []string{nameOfRecord(name)}, kind: badRecord, name: name})
			continue
		}
		c.records = append(c.records, img)
		ids[img.ID] = true
	}
	c.Images = len(ids)
	return nil
}

// nameOfRecord is what recordName was made of, as far as that can be told.
func nameOfRecord(name string) string {
	return strings.ReplaceAll(strings.TrimSuffix(name, ".json"), "%2F", "/")
}

// plainly takes the path and the hint off an error that is told beside both.
func plainly(err error) error {
	if errors.Is(err, errDamaged) {
		return errDamaged
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if errors.As(err, &syntax) || errors.As(err, &kind) {
		return errors.New("it is damaged")
	}
	return err
}

func (c *checker) readBlobs(ctx context.Context) error {
	entries, err := os.ReadDir(c.store.path("blobs", "sha256"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if isTemporary(e) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := os.ReadFile(c.store.path("blobs", "sha256", e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		c.Blobs++
		if err == nil && sha256Of(data).Hex == e.Name() {
			c.blobs[e.Name()] = true
			continue
		}
		what := "it has another digest"
		if err != nil {
			what = err.Error()
		}
		c.tell(&Problem{
			What: fmt.Sprintf("blob sha256:%s%s: %s", e.Name(), c.role(e.Name()), what), Images: c.namesWith(e.Name()), kind: badBlob, name: e.Name(),
		})
	}
	return nil
}

// role says what the blob is to the images that have it.
func (c *checker) role(digits string) string {
	for _, img := range c.records {
		switch "sha256:" + digits {
		case img.ID:
			return ", the config of " + cmp.Or(img.Reference, img.ID)
		case img.Manifest:
			return ", the manifest of " + cmp.Or(img.Reference, img.ID)
		}
	}
	return ""
}

func (c *checker) readLayers(ctx context.Context) error {
	entries, err := os.ReadDir(c.store.path("layers"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := layerOfEntry(e.Name())
		// What lies beside no directory belongs to a layer that never got its name.
		if isTemporary(e) || name != e.Name() {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		c.Layers++
		info, err := c.store.verifyLayer(name)
		var d *damage
		if err != nil && !errors.As(err, &d) {
			return fmt.Errorf("check layer %s: %w", name, err)
		}
		c.layers[name] = info
		if err != nil {
			c.tell(&Problem{What: fmt.Sprintf("layer %s%s: %v", name, c.layerRole(name), err), Images: c.namesWith(name), kind: badLayer, name: name, busy: c.userOf(name)})
		}
	}
	return nil
}

func (c *checker) layerRole(name string) string {
	if names := c.namesWith(name); len(names) > 0 {
		return " of " + names[0]
	}
	return ""
}

// verifyLayer reads all of a layer. What it finds damaged is a *damage.
func (s *Store) verifyLayer(name string) (*layerInfo, error) {
	data, err := os.ReadFile(s.layerInfoPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damagef("what is known of it is missing")
	}
	if err != nil {
		return nil, err
	}
	var info layerInfo
	if data, err = unseal(data); err == nil {
		err = json.Unmarshal(data, &info)
	}
	if err != nil || len(info.ChainID.Hex) != 64 || layerName(info.ChainID) != name {
		return nil, damagef("what is known of it is not what was written")
	}
	if info.Inventory.Hex == "" {
		return nil, damagef("it has no inventory")
	}
	if err := verifyTree(s.layerPath(name), s.inventoryPath(name), info.Inventory); err != nil {
		return nil, err
	}
	return &info, nil
}

// namesWith are the images that a blob (by its digits) or a layer (by its name) is
// part of: their references, or IDs of those without any.
func (c *checker) namesWith(part string) []string {
	var names []string
	for _, img := range c.records {
		if slices.Contains(partsOf(img), part) {
			names = append(names, c.namesOf(img.ID)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// partsOf are the blobs of an image, by their digits, and its layers, by name.
func partsOf(img *Image) []string {
	parts := []string{strings.TrimPrefix(img.ID, "sha256:"), strings.TrimPrefix(img.Manifest, "sha256:")}
	for _, layer := range img.Layers {
		parts = append(parts, filepath.Base(layer))
	}
	return parts
}

// namesOf are the references of an image, or its ID where it has none.
func (c *checker) namesOf(id string) []string {
	var names []string
	for _, img := range c.records {
		if img.ID == id && img.Reference != "" {
			names = append(names, img.Reference)
		}
	}
	if names == nil {
		return []string{id}
	}
	return names
}

// userOf is the pod that uses an image with the layer.
func (c *checker) userOf(layer string) string {
	for id, pod := range c.pods {
		if slices.Contains(c.layersOf(id), layer) {
			return pod
		}
	}
	return ""
}

// layersOf are the layers of an image by name, also where only its config is left.
func (c *checker) layersOf(id string) []string {
	var names []string
	for _, img := range c.records {
		if img.ID == id {
			return partsOf(img)[2:]
		}
	}
	if h, err := v1.NewHash(id); err == nil && c.blobs[h.Hex] {
		if data, err := os.ReadFile(c.store.blobPath(h)); err == nil {
			if file, err := v1.ParseConfigFile(bytes.NewReader(data)); err == nil {
				for _, chain := range chainIDs(file.RootFS.DiffIDs) {
					names = append(names, layerName(chain))
				}
			}
		}
	}
	return names
}

// crossCheck tells of what records name and is not there.
func (c *checker) crossCheck() {
	told := map[string]bool{}
	missing := func(p *Problem) {
		if !told[p.name] {
			told[p.name] = true
			c.tell(p)
		}
	}
	byID := map[string]bool{}
	for _, img := range c.records {
		byID[img.ID] = byID[img.ID] || img.Reference == ""
	}
	for _, img := range c.records {
		if name := idRecordName(img.ID); !byID[img.ID] && !c.unread[name] {
			missing(&Problem{What: fmt.Sprintf("record of %s: it is missing", img.ID), Images: c.namesOf(img.ID), kind: badRecord, name: name})
		}
		for i, part := range partsOf(img) {
			p := &Problem{Images: c.namesWith(part), name: part, kind: badBlob}
			_, there := c.layers[part]
			switch {
			case i < 2 && !c.blobs[part] && !c.hasProblem(part):
				p.What = fmt.Sprintf("blob sha256:%s%s: it is missing", part, c.role(part))
			case i >= 2 && !there:
				p.What, p.kind = fmt.Sprintf("layer %s%s: it is missing", part, c.layerRole(part)), badLayer
			default:
				continue
			}
			missing(p)
		}
	}
	for id, pod := range c.pods {
		if _, known := byID[id]; !known && !c.unread[idRecordName(id)] {
			missing(&Problem{What: fmt.Sprintf("record of %s, which pod %s uses: it is missing", id, pod), Images: []string{id}, kind: badRecord, name: idRecordName(id)})
		}
	}
}

func (c *checker) hasProblem(name string) bool {
	return slices.ContainsFunc(c.Problems, func(p *Problem) bool { return p.name == name })
}
