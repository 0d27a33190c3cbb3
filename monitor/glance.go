package monitor

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"podrun/sandbox"
)

// A look costs milliseconds of a processor, and there may be hundreds of pods. A
// glance tells for a fraction of that whether one is needed.

// awaitCause returns when there is reason for a look, or ctx ends.
func (g *mender) awaitCause(ctx context.Context) {
	tick := time.NewTicker(mendPeriod)
	defer tick.Stop()
	for glances := 0; glances < mendGlances; {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
			return
		case <-g.remount: // a busy machine mounts all the time, and little of it here
			time.Sleep(mendGap)
			if !g.mountsAreWhole() {
				return
			}
		case <-tick.C:
			if !g.glance() {
				return
			}
			rest()
			glances++
		}
	}
}

// glance tells whether all is there whose removal the kernel tells nobody. Where it
// cannot be heard, or a repair waits for its next try, only a look can tell.
func (g *mender) glance() (whole bool) {
	g.building.Lock()
	defer g.building.Unlock()
	switch {
	case g.deaf, !g.watch.whole, len(g.failures) > 0,
		sandbox.CountCgroup(sandbox.PodPath(g.store.Instance, g.uid())) < g.groups,
		len(Residue(g.store, g.uid(), g.checkpoint.last().Containers)) > 0:
		return false
	}
	if g.users != nil {
		if reserved, err := sandbox.Reserved(g.users.first); err != nil || !reserved {
			return false
		}
	}
	if g.pod.Spec.HostNetwork {
		return true
	}
	a, err := g.attachment()
	return err == nil && len(g.host.MissingSysctls(a)) == 0
}

// mountsAreWhole tells whether the pod's mounts are there, and no other has hidden
// or taken with it what is known by its path.
func (g *mender) mountsAreWhole() bool {
	g.building.Lock()
	defer g.building.Unlock()
	paths := []string{
		g.store.ClaimPath(g.pod.Namespace, g.pod.Name), filepath.Join(g.store.PodDir(g.uid()), "status.json"),
		lockPath(g.store, g.uid()), g.stateDir(), g.record.LogPath(),
	}
	if g.users != nil {
		paths = append(paths, g.users.stage)
	}
	for _, path := range paths {
		if _, err := os.Lstat(path); err != nil {
			return false
		}
	}
	if g.unbuilt || g.unmounted || g.volumes == nil {
		return true // who mounts mounts it all
	}
	lost, err := g.lostMounts()
	return err == nil && len(lost) == 0
}
