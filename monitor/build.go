package monitor

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"podrun/netns"
	"podrun/sandbox"
	"podrun/step"
)

// build makes what the containers share. Everything in it finds what is already
// there, so that a new monitor of a running pod goes the same way. Nothing in it
// waits for anything else; the network and the cgroups are only waited for before
// a container is released (see Start), because the preparation of the first
// container takes several times as long. On cgroup v1 pause holds up all who
// change cgroups for some 12 ms, while it moves into its own.
func (m *monitor) build() error {
	if err := m.addresses(); err != nil {
		return err
	}
	entering := begin(m.scope().Enter)
	m.entering.Store(entering)
	m.background = begin(func() error {
		var g errgroup.Group
		g.Go(func() error { return errors.Join(m.connect(), m.setSysctls()) })
		g.Go(func() error {
			if err := m.enteredScope(); err != nil {
				return err
			}
			return m.makeCgroup()
		})
		g.Go(entering.wait)
		return g.Wait()
	})
	var g errgroup.Group
	g.Go(m.mountPresent)
	g.Go(m.writeFiles)
	g.Go(m.markLogs)
	g.Go(m.sharePIDs)
	g.Go(m.makeStage)
	return g.Wait()
}

// firstBuild is the build of a monitor that begins.
func (m *monitor) firstBuild() error {
	m.building.Lock()
	defer m.building.Unlock()
	return m.build()
}

// background is work that build has left to go on by itself.
type background struct {
	done chan struct{} // closed when err is set
	err  error
}

func begin(work func() error) *background {
	b := &background{done: make(chan struct{})}
	go func() {
		defer close(b.done)
		b.err = work()
	}()
	return b
}

// wait returns what has become of the work; nil is none.
func (b *background) wait() error {
	if b == nil {
		return nil
	}
	<-b.done
	return b.err
}

// failed reports whether the work is over, in vain.
func (b *background) failed() bool {
	if b == nil {
		return false
	}
	select {
	case <-b.done:
		return b.err != nil
	default:
		return false
	}
}

// rebuild tries again what a new monitor of a running pod could not build.
func (m *monitor) rebuild() error {
	m.building.Lock()
	defer m.building.Unlock()
	if !m.unbuilt && !(m.resumed && m.background.failed()) {
		return nil
	}
	m.background.wait() // two at a time would be in each other's way
	if err := m.build(); err != nil {
		m.unbuilt = true
		m.tellUnbuilt(err)
		return err
	}
	m.unbuilt = false
	m.life.SetAddresses(&m.current().Status) // the build before may have had none, or others
	return nil
}

// settled waits for what build left in the background.
func (m *monitor) settled() error {
	m.building.Lock()
	b := m.background
	m.building.Unlock()
	return b.wait()
}

// setSysctls comes after connect, which has defaults for some.
func (m *monitor) setSysctls() error {
	if sc := m.pod.Spec.SecurityContext; sc != nil && len(sc.Sysctls) > 0 {
		return sandbox.SetSysctls(m.pauseID, m.rootID(), sc.Sysctls, netns.InNamespace)
	}
	return nil
}

// unmountBelow detaches every mount below the directories from this mount
// namespace, so that their mount points can be removed.
func unmountBelow(dirs ...string) error {
	table, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(m.Mountpoint, dir+"/") }), false
	})
	if err != nil {
		return fmt.Errorf("read the mount table: %w", err)
	}
	var errs []error
	for _, m := range table {
		if strings.Contains(m.Optional, "shared:") {
			// Else the machine would lose what a container has mounted on its behalf.
			unix.Mount("", m.Mountpoint, "", unix.MS_PRIVATE|unix.MS_REC, "")
		}
		done := step.Change("unmount")
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, &os.PathError{Op: "unmount", Path: m.Mountpoint, Err: err})
		}
		done()
	}
	return errors.Join(errs...)
}
