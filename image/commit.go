package image

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"podrun/state"
	"podrun/step"
)

// commitAll puts layers in place as they get ready, lowest first. All that are
// ready at one moment share one sync.
func (in *installer) commitAll(ctx context.Context) error {
	var lowers []string
	for next := 0; next < len(in.jobs); {
		select {
		case <-in.jobs[next].done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		end := next + 1
		for end < len(in.jobs) && isClosed(in.jobs[end].done) {
			end++
		}
		if err := in.store.commit(in.jobs[next:end], lowers); err != nil {
			return err
		}
		for _, j := range in.jobs[next:end] {
			lowers = append(lowers, in.store.layerPath(layerName(j.info.ChainID)))
		}
		next = end
	}
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// commit puts consecutive layers in place, lowers being those below them. After
// a power cut a layer that has its name has all its content, as overlay lower
// directories cannot be verified again.
func (s *Store) commit(jobs []*job, lowers []string) error {
	below := append([]string(nil), lowers...)
	var fresh []*job
	for _, j := range jobs {
		if j.tree == nil {
			below = append(below, s.layerPath(layerName(j.info.ChainID)))
			continue
		}
		fresh = append(fresh, j)
		if err := j.tree.inherit(below); err != nil {
			return err
		}
		below = append(below, j.tree.dir)
	}
	if len(fresh) == 0 {
		return nil
	}
	// The inventories are taken while the disk is busy with the layers.
	var g errgroup.Group
	g.Go(s.sync)
	for _, j := range fresh {
		g.Go(func() error { return j.takeInventory(s) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	for _, j := range fresh {
		if err := j.putInPlace(s); err != nil {
			return fmt.Errorf("put layer in place: %w", err)
		}
	}
	return s.syncLayers()
}

// takeInventory writes what is kept beside the layer.
func (j *job) takeInventory(s *Store) (err error) {
	defer step.Change("describe layer")()
	name := layerName(j.info.ChainID)
	unfinished := s.path("tmp", name+inventorySuffix)
	if j.info.Inventory, err = writeInventory(j.tree.dir, unfinished); err != nil {
		return err
	}
	if err := os.Rename(unfinished, s.inventoryPath(name)); err != nil {
		return err
	}
	info, err := json.Marshal(j.info)
	if err != nil {
		return err
	}
	return state.WriteFile(s.layerInfoPath(name), seal(info), 0o600, state.Volatile)
}

// putInPlace gives the layer its name. A damaged one that has it takes its place
// in tmp, in one step: a name never stands for no layer once it stood for one.
func (j *job) putInPlace(s *Store) error {
	defer step.Change("put layer in place")()
	name := layerName(j.info.ChainID)
	place := s.layerPath(name)
	if _, err := os.Lstat(place); err == nil && j.anew {
		unlock, err := s.lockReferences() // no pod is stored meanwhile; see Hold
		if err != nil {
			return err
		}
		defer unlock()
		if err := j.mayReplace(name); err != nil {
			return err
		}
		if err := unix.Renameat2(unix.AT_FDCWD, j.tree.dir, unix.AT_FDCWD, place, unix.RENAME_EXCHANGE); err != nil {
			return &os.LinkError{Op: "exchange", Old: j.tree.dir, New: place, Err: err}
		}
	} else {
		if err := os.Rename(j.tree.dir, place); err != nil {
			return err
		}
		j.tree = nil // release removes what it has
	}
	j.report(StageDone, 0, 0)
	j.release()
	return nil
}

// sync writes out the file system that the store is on: one call for all files
// of all layers that are ready.
func (s *Store) sync() error {
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return &os.PathError{Op: "syncfs", Path: s.dir, Err: err}
	}
	return nil
}

// syncLayers makes the names of layers durable before a record names them.
func (s *Store) syncLayers() error {
	dir, err := os.Open(s.path("layers"))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
