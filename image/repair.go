package image

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sys/unix"

	"podrun/step"
)

// Repair is Check, and mends what it finds. What a registry had is pulled again,
// by the digest that it had; what is damaged stays in its place until its
// replacement is whole. An image that nobody can bring again is removed, unless a
// pod uses it. A layer that a pod uses is never changed, as the pod has it mounted.
func (s *Store) Repair(ctx context.Context, users Users, o PullOptions) (*Report, error) {
	end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	lock, err := openLock(s.path("tmp", "repair"+lockSuffix))
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := waitLock(ctx, lock, unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("wait for another repair: %w", err)
	}
	c, err := s.check(ctx, users)
	if err != nil {
		return nil, err
	}
	if len(c.Problems) == 0 {
		return &c.Report, nil
	}
	if err := c.mendRecords(); err != nil {
		return nil, err
	}
	if err := c.mendImages(ctx, o); err != nil {
		return nil, err
	}
	return &c.Report, c.removeDamaged()
}

const untilDown = "pod %s uses it: take the pod down, then repair again"

// mendRecords writes what the rest of the store still knows, and removes the
// records of which nobody knows what they said.
func (c *checker) mendRecords() error {
	unlock, err := c.store.lockReferences()
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.askUsers(); err != nil {
		return err
	}
	for _, p := range c.Problems {
		if p.kind != badRecord {
			continue
		}
		id := strings.TrimSuffix(p.name, ".json")
		if img := c.recall(id); img != nil {
			if err := c.rewrite(img); err != nil {
				return err
			}
			p.Done = "written again from what else is known of the image"
			continue
		}
		if pod := c.pods[id]; pod != "" {
			p.Left = fmt.Sprintf(untilDown, pod)
			continue
		}
		if err := c.store.removeRecord(p.name); err != nil {
			return err
		}
		p.Done = fmt.Sprintf("removed; 'podrun image pull %s' brings it again, or 'podrun image import' what was imported", p.Images[0])
	}
	return nil
}

// recall finds out what the record of an image ID said: from the record of a
// reference, or from config and manifest. Nil where that is not possible.
func (c *checker) recall(id string) *Image {
	h, err := v1.NewHash(id)
	if err != nil {
		return nil
	}
	for _, img := range c.records {
		if img.ID == id {
			unnamed := *img
			unnamed.Reference = ""
			return &unnamed
		}
	}
	if !c.blobs[h.Hex] {
		return nil
	}
	for digits := range c.blobs {
		manifest, err := os.ReadFile(c.store.path("blobs", "sha256", digits))
		if err != nil {
			continue
		}
		if _, m, err := parseManifest(manifest); err != nil || m == nil || m.Config.Digest != h {
			continue
		}
		config, err := os.ReadFile(c.store.blobPath(h))
		if err != nil {
			return nil
		}
		return c.describe(config, manifest)
	}
	return nil
}

// describe makes the record of an image of which config and manifest are there.
func (c *checker) describe(config, manifest []byte) *Image {
	_, m, err := parseManifest(manifest)
	if err != nil {
		return nil
	}
	candidate, err := newCandidate(manifest, config, make([]layerSource, len(m.Layers)))
	if err != nil {
		return nil
	}
	img := candidate.image()
	for _, chain := range chainIDs(candidate.file.RootFS.DiffIDs) {
		name := layerName(chain)
		img.Layers = append(img.Layers, c.store.layerPath(name))
		if info := c.layers[name]; info != nil {
			img.Size += info.Size
		}
	}
	return &img
}

func (c *checker) rewrite(img *Image) error {
	r := record{Version: recordVersion, Image: *img}
	r.Layers = partsOf(img)[2:]
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	c.records = append(c.records, img)
	return c.store.writeRecord(recordName(cmp.Or(img.Reference, img.ID)), seal(data))
}

// broken are the images that lack a part, or have a damaged one.
func (c *checker) broken() []*Image {
	var list []*Image
	for _, img := range c.records {
		lacks := func(part string) bool { return !c.blobs[part] && c.layers[part] == nil }
		if slices.ContainsFunc(partsOf(img), lacks) && !slices.ContainsFunc(list, func(o *Image) bool { return o.ID == img.ID }) {
			list = append(list, img)
		}
	}
	return list
}

// mendImages pulls broken images again. Those that cannot be had are removed when
// all pulls are through: a layer may be had with another image.
func (c *checker) mendImages(ctx context.Context, o PullOptions) error {
	reasons := map[string]error{}
	for _, img := range c.broken() {
		if err := c.pullAgain(ctx, img, o); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			reasons[img.ID] = err
		}
	}
	for _, img := range c.broken() {
		err := reasons[img.ID]
		left := ""
		var used *usedError
		switch pod := c.pods[img.ID]; {
		case pod != "":
			left = fmt.Sprintf(untilDown, pod)
		case errors.As(err, &used):
			left = used.Error()
		case err == nil: // a layer that a pod uses through another image
		case !errors.Is(err, errNoSource) && !isGone(err):
			left = fmt.Sprintf("%v; then repair again, or remove the image with 'podrun image rm'", err)
		default:
			err := c.removeImage(img, err)
			if errors.As(err, &used) {
				left = used.Error()
				break
			}
			if err != nil {
				return err
			}
			continue
		}
		for _, p := range c.problemsOf(img) {
			if p.Done == "" && p.Left == "" {
				p.Left = left
			}
		}
	}
	return nil
}

var errNoSource = errors.New("it came from no registry")

// isGone reports whether a registry has the image no more.
func isGone(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
}

// pullAgain brings the image from a repository that it came from.
func (c *checker) pullAgain(ctx context.Context, img *Image, o PullOptions) error {
	mend := &again{id: img.ID, damaged: map[string]bool{}, mayReplace: c.unused}
	for _, part := range partsOf(img)[2:] {
		info, there := c.layers[part]
		mend.damaged[part] = there && info == nil && c.userOf(part) == ""
	}
	var sources []string
	for _, r := range c.records {
		if r.ID == img.ID && r.Reference != "" {
			mend.references = append(mend.references, r.Reference)
		}
		if r.ID == img.ID && r.Source != "" && !slices.Contains(sources, r.Source+"@"+r.Digest) {
			sources = append(sources, r.Source+"@"+r.Digest)
		}
	}
	o.again = mend
	err := errNoSource
	for _, source := range sources {
		if _, err = c.store.Pull(ctx, source, o); err == nil {
			c.pulled(img, mend.damaged)
			return nil
		}
	}
	return err
}

// usedError says that a pod uses what was to be replaced or removed.
type usedError struct{ pod string }

func (e *usedError) Error() string { return fmt.Sprintf(untilDown, e.pod) }

// unused asks again whether pods use a layer: one may have come up since the check,
// which takes its time. The caller has locked the references.
func (c *checker) unused(layer string) error {
	if err := c.askUsers(); err != nil {
		return err
	}
	if pod := c.userOf(layer); pod != "" {
		return &usedError{pod}
	}
	return nil
}

// pulled notes what is whole now.
func (c *checker) pulled(img *Image, anew map[string]bool) {
	for i, part := range partsOf(img) {
		info, there := c.layers[part]
		switch {
		case i < 2:
			c.blobs[part] = true
		case info != nil || there && !anew[part]:
			continue
		default:
			c.layers[part] = &layerInfo{}
		}
		for _, p := range c.Problems {
			if p.name == part && p.Done == "" {
				p.Done, p.Left = "pulled again", ""
			}
		}
	}
}

func (c *checker) problemsOf(img *Image) []*Problem {
	var list []*Problem
	for _, p := range c.Problems {
		if slices.Contains(partsOf(img), p.name) {
			list = append(list, p)
		}
	}
	return list
}

// removeImage takes away an image that cannot be mended, with all its names.
func (c *checker) removeImage(img *Image, cause error) error {
	names := c.namesOf(img.ID)
	unlock, err := c.store.lockReferences()
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.askUsers(); err != nil {
		return err
	}
	if pod := c.pods[img.ID]; pod != "" {
		return &usedError{pod}
	}
	doomed := []string{}
	for _, r := range c.records {
		if r.ID == img.ID && r.Reference != "" {
			doomed = append(doomed, recordName(r.Reference))
		}
	}
	if err := c.store.markGarbage(partsOf(img)); err != nil {
		return err
	}
	if err := c.store.removeRecords(append(doomed, idRecordName(img.ID))); err != nil {
		return err
	}
	why := "it came from no registry: import or load it again"
	if !errors.Is(cause, errNoSource) {
		why = "its registry does not have it any more"
	}
	for _, p := range c.problemsOf(img) {
		if p.Done == "" {
			p.Done = fmt.Sprintf("removed %s; %s", strings.Join(names, ", "), why)
		}
	}
	c.records = slices.DeleteFunc(c.records, func(r *Image) bool { return r.ID == img.ID })
	return nil
}

// removeDamaged removes the damaged layers and blobs that no image has: the next
// pull would take them for whole.
func (c *checker) removeDamaged() error {
	for _, p := range c.Problems {
		if p.Left == "" && p.busy != "" && c.layers[p.name] == nil {
			p.Done, p.Left = "", fmt.Sprintf(untilDown, p.busy)
		}
		if p.kind == badRecord || p.Left != "" || len(c.namesWith(p.name)) > 0 {
			continue
		}
		if err := c.removePart(p); err != nil {
			return err
		}
		p.Done = cmp.Or(p.Done, "removed")
	}
	return nil
}

func (c *checker) removePart(p *Problem) error {
	if p.kind == badBlob {
		defer step.Change("remove blob")()
		err := os.Remove(c.store.path("blobs", "sha256", p.name))
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	for _, suffix := range []string{"", infoSuffix, inventorySuffix} {
		if _, err := os.Lstat(c.store.layerPath(p.name + suffix)); err != nil {
			continue
		}
		if _, err := c.store.retire(filepath.Base(p.name + suffix)); err != nil {
			return err
		}
	}
	return nil
}
