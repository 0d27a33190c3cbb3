package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"podrun/step"
)

// candidate is an image on its way into the store. Its manifest and config are
// here and verified, its layers still elsewhere.
type candidate struct {
	manifest []byte
	digest   v1.Hash // of the manifest, or of the index it was found through
	config   []byte
	file     *v1.ConfigFile
	layers   []layerSource
	source   string // the repository that it can be pulled from; empty for none
	// damaged are the names of layers that are in the store and have to be made anew.
	damaged    map[string]bool
	mayReplace func(layer string) error
}

// layerSource is where a layer comes from.
type layerSource struct {
	digest v1.Hash // of the archive as it is stored there
	// open starts reading the archive. Reading it to its end is an error unless
	// it is what digest says.
	open func(ctx context.Context) (io.ReadCloser, error)
}

// Limits of what is held in memory.
const (
	maxManifest = 4 << 20 // as registries have it (distribution-spec, "Pushing Manifests")
	maxConfig   = 8 << 20
	maxLayers   = 500 // overlayfs's OVL_MAX_STACK
	// maxVolumes is far above what images have. Each is a directory and a mount of
	// every container that is made of the image.
	maxVolumes = 256
)

// newCandidate checks that a config is one of an image with that many layers.
func newCandidate(manifest, config []byte, layers []layerSource) (*candidate, error) {
	file, err := v1.ParseConfigFile(bytes.NewReader(config))
	if err != nil {
		return nil, fmt.Errorf("read image config: %w", err)
	}
	if len(file.RootFS.DiffIDs) != len(layers) {
		return nil, fmt.Errorf("the image config names %d layers, its manifest %d", len(file.RootFS.DiffIDs), len(layers))
	}
	if len(layers) > maxLayers {
		return nil, fmt.Errorf("the image has %d layers; overlayfs takes %d", len(layers), maxLayers)
	}
	if n := len(file.Config.Volumes); n > maxVolumes {
		return nil, fmt.Errorf("the image config lists %d volumes (VOLUME); podrun takes %d: build the image with fewer", n, maxVolumes)
	}
	for _, d := range file.RootFS.DiffIDs {
		if d.Algorithm != "sha256" || len(d.Hex) != sha256.Size*2 {
			return nil, fmt.Errorf("the image config has diff_id %q; want sha256:…", d)
		}
	}
	return &candidate{manifest: manifest, digest: sha256Of(manifest), config: config, file: file, layers: layers}, nil
}

// chainIDs names each layer together with all below it (OCI image-spec,
// config.md, "Layer ChainID").
func chainIDs(diffIDs []v1.Hash) []v1.Hash {
	chain := make([]v1.Hash, len(diffIDs))
	for i, diff := range diffIDs {
		chain[i] = diff
		if i > 0 {
			chain[i] = sha256Of([]byte(chain[i-1].String() + " " + diff.String()))
		}
	}
	return chain
}

func sha256Of(data []byte) v1.Hash {
	sum := sha256.Sum256(data)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

// install brings a candidate into the store: blobs, layers, and last the
// records. The caller is between begin and its end.
func (s *Store) install(ctx context.Context, c *candidate, references []string, report Progress) ([]*Image, error) {
	in := newInstaller(s, c, report)
	if err := in.run(ctx); err != nil {
		if errors.Is(err, errForged) || errors.Is(err, unix.ENOSPC) {
			// The layers that were fine are of no use: this image will not come.
			err = errors.Join(err, s.markGarbage(in.layers()))
		}
		return nil, err
	}
	id, manifest := sha256Of(c.config), sha256Of(c.manifest)
	if err := errors.Join(s.writeBlob(manifest, c.manifest), s.writeBlob(id, c.config)); err != nil {
		return nil, fmt.Errorf("store manifest and config: %w", err)
	}
	img := c.image()
	for _, j := range in.jobs {
		img.Size += j.info.Size
	}
	return s.writeRecords(img, in.layers(), references)
}

// layers are the names of the image's layers.
func (in *installer) layers() []string {
	names := make([]string, len(in.jobs))
	for i, j := range in.jobs {
		names[i] = layerName(j.info.ChainID)
	}
	return names
}

// image is what the candidate will be, but for its layers.
func (c *candidate) image() Image {
	img := Image{
		ID:           sha256Of(c.config).String(),
		Digest:       c.digest.String(),
		Manifest:     sha256Of(c.manifest).String(),
		Source:       c.source,
		Config:       *c.file.Config.DeepCopy(),
		Created:      c.file.Created.Time,
		Architecture: c.file.Architecture,
		Variant:      c.file.Variant,
	}
	img.Config.Env = keyValues(img.Config.Env)
	return img
}

// keyValues leaves out what is no KEY=VALUE: a container's environment cannot hold it.
func keyValues(env []string) []string {
	var kept []string
	for _, e := range env {
		if i := strings.Index(e, "="); i > 0 {
			kept = append(kept, e)
		}
	}
	return kept
}

// installer brings the layers of one image into the store: several at a time
// are unpacked, one after the other, from the lowest, they are put in place.
//
// Two installers cannot wait for each other: a layer's lock is held while it
// waits for lower layers only, and the lowest layer that is not in place is
// being worked on by whoever has its lock, or is the next to be started.
type installer struct {
	store *Store
	jobs  []*job
}

// job is one layer on its way.
type job struct {
	source layerSource
	info   layerInfo
	report func(Stage, int64, int64)
	lock   *os.File // held from before the work until the layer is in place
	tree   *tree    // nil: the layer was there
	anew   bool     // what is there under the layer's name is damaged
	done   chan struct{}
	// mayReplace is asked before what is damaged goes.
	mayReplace func(layer string) error
}

// parallelLayers is how many layers are downloaded and unpacked at once. One
// connection seldom fills a line; more than a few only compete for the disk.
const parallelLayers = 4

func newInstaller(s *Store, c *candidate, report Progress) *installer {
	in := &installer{store: s}
	chains := chainIDs(c.file.RootFS.DiffIDs)
	for i, source := range c.layers {
		in.jobs = append(in.jobs, &job{
			source: source,
			info:   layerInfo{ChainID: chains[i], DiffID: c.file.RootFS.DiffIDs[i]},
			anew:   c.damaged[layerName(chains[i])],
			report: report.layer(source.digest),
			done:   make(chan struct{}),

			mayReplace: c.mayReplace,
		})
	}
	return in
}

func (in *installer) run(ctx context.Context) error {
	defer func() {
		for _, j := range in.jobs {
			j.release()
		}
	}()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return in.commitAll(ctx) })
	slots := make(chan struct{}, parallelLayers)
dispatch:
	for _, j := range in.jobs {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			break dispatch
		}
		g.Go(func() error {
			defer func() { <-slots }()
			if err := j.prepare(ctx, in.store); err != nil {
				return fmt.Errorf("layer %s: %w", j.source.digest, err)
			}
			close(j.done)
			return nil
		})
	}
	return g.Wait()
}

// prepare finds the layer in the store, or unpacks it under its lock.
func (j *job) prepare(ctx context.Context, s *Store) error {
	if present, err := j.find(s); present || err != nil {
		return err
	}
	if err := j.acquire(ctx, s); err != nil {
		return err
	}
	if present, err := j.find(s); present || err != nil {
		j.release()
		return err
	}
	archive, err := j.source.open(ctx)
	if err != nil {
		return err
	}
	defer archive.Close()
	dir := s.path("tmp", layerName(j.info.ChainID))
	// Whoever left something here was killed: its lock would be held otherwise.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	defer step.Change("unpack layer")()
	j.tree = &tree{dir: dir}
	t, err := unpack(ctx, dir, archive)
	if err != nil {
		return err
	}
	// What follows the compressed stream belongs to the digest too.
	if _, err := io.Copy(io.Discard, archive); err != nil {
		return err
	}
	if t.diffID != j.info.DiffID {
		return fmt.Errorf("%w: it unpacks to %s, the image says %s", errForged, t.diffID, j.info.DiffID)
	}
	j.tree, j.info.Size = t, t.size
	return nil
}

func (j *job) find(s *Store) (present bool, err error) {
	if j.anew {
		return false, nil
	}
	info, err := s.layerInfo(j.info.ChainID)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	j.info = info
	j.report(StagePresent, 0, 0)
	return true, nil
}

// acquire takes the layer's lock: of two that want a layer, one works.
func (j *job) acquire(ctx context.Context, s *Store) error {
	lock, err := openLock(s.path("tmp", layerName(j.info.ChainID)+lockSuffix))
	if err != nil {
		return err
	}
	j.lock = lock
	err = tryLock(lock, unix.LOCK_EX)
	if errors.Is(err, errBusy) {
		j.report(StageWaiting, 0, 0)
		err = waitLock(ctx, lock, unix.LOCK_EX)
	}
	return err
}

// release removes what is not in place and lets others have the layer.
func (j *job) release() {
	if j.tree != nil {
		_ = os.RemoveAll(j.tree.dir) // the next writer empties tmp
	}
	if j.lock != nil {
		j.lock.Close()
	}
	j.tree, j.lock = nil, nil
}
