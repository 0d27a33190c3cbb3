package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	v1 "k8s.io/api/core/v1"

	"podrun/manifest"
	"podrun/monitor"
	"podrun/netns"
	"podrun/sandbox"
	"podrun/state"
)

// Snapshot is what there was at one moment. Nothing in it is known to fit.
type Snapshot struct {
	Host    netns.Host
	Pods    map[string]*Pod // by uid: whatever says anything of one
	Network netns.Holdings
	Mounts  []string // of the machine, below the roots
	Files   []File
	Volumes []Volume
	Objects []Problem // kept objects that cannot be read
	Logs    []Log
	Now     time.Time
}

// Pod is what is known of one uid.
type Pod struct {
	Names      []state.Ref   // claims that lead to it
	Taken      bool          // its record's name is another's
	Record     *state.Record // nil: there is none, or Damage says why it cannot be read
	Damage     error
	Status     monitor.Status
	BadStatus  error
	Missing    []string // what it refers to and nobody has
	Residue    []string // attempts of its containers that are past, and of which something is left
	Roots      int      // root file systems of its containers
	Users      int      // the first of its own user ids; 0: none, or BadUsers says why that is not known
	Reserved   bool     // they are
	BadUsers   error
	Directory  bool
	RunDir     bool
	Kept       bool // somebody has its lock, or pause or monitor live
	Keepers    []int
	Containers []int
	Cgroups    bool
}

// File is a file or directory of podrun's own.
type File struct {
	Path    string
	Mode    fs.FileMode
	Owner   int
	Changed time.Time
	Most    fs.FileMode // permissions that it may have; 0: whatever
	Part    bool        // its name is that of a file which is being written
	Empty   bool        // a directory without entries that is made when it is needed
}

// Volume is a named volume that ends with a pod.
type Volume struct {
	state.Volume
	Owner  string
	InUse  bool
	Hidden string // the path of one that is half made or half removed
}

// Problem is something that cannot be read.
type Problem struct {
	Path string
	Err  error
}

// Log is a directory of a pod's logs that this instance has made.
type Log struct{ Path, UID string }

func (a Auditor) look() (*Snapshot, error) {
	s := &Snapshot{Host: a.Host, Pods: map[string]*Pod{}, Now: time.Now()}
	held, err := a.Host.Holdings()
	if err != nil {
		return nil, err
	}
	s.Network = *held
	for _, uid := range held.Rules {
		s.pod(uid)
	}
	for name := range held.Claims {
		if _, err := netip.ParseAddr(name); err != nil {
			s.pod(name)
		}
	}
	for _, one := range []func(*Snapshot) error{a.lookAtNames, a.lookAtPods, a.lookAtCgroups, a.lookAtMounts, a.lookAtFiles, a.lookAtObjects, a.lookAtVolumes, a.lookAtLogs} {
		if err := one(s); err != nil {
			return nil, err
		}
	}
	return s, a.lookAtKeepers(s)
}

func (s *Snapshot) pod(uid string) *Pod {
	if s.Pods[uid] == nil {
		s.Pods[uid] = &Pod{}
	}
	return s.Pods[uid]
}

func (a Auditor) lookAtNames(s *Snapshot) error {
	refs, err := a.Store.Names("")
	for _, ref := range refs {
		p := s.pod(ref.UID)
		p.Names = append(p.Names, ref)
	}
	return err
}

// lookAtPods reads what is on disk for each uid.
func (a Auditor) lookAtPods(s *Snapshot) error {
	for _, uid := range names(filepath.Dir(a.Store.PodDir("x"))) {
		s.pod(uid).Directory = true
	}
	for _, uid := range names(filepath.Dir(a.Store.RunDir("x"))) {
		s.pod(uid).RunDir = true
	}
	for uid, p := range s.Pods {
		r, err := a.Store.ReadRecord(uid)
		switch {
		case err == nil:
			p.Record = r
			p.Missing = missing(a.Store, r.Pod)
			p.Users, p.Reserved, p.BadUsers = monitor.OwnUsers(a.Store, r)
			holder, err := a.Store.Lookup(r.Pod.Namespace, r.Pod.Name)
			p.Taken = err == nil && holder != uid
		case !errors.Is(err, os.ErrNotExist) && !errors.Is(err, state.ErrNewer):
			p.Damage = err
		}
		err = a.Store.ReadStatus(uid, &p.Status)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, state.ErrNewer) {
			p.Status, p.BadStatus = monitor.Status{}, err
		}
		p.Residue = monitor.Residue(a.Store, uid, p.Status.Containers)
		p.Roots = len(names(monitor.RootsDir(a.Store, uid)))
	}
	return nil
}

// names are the entries of a directory; none where it is missing.
func names(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func missing(s *state.Store, p *v1.Pod) []string {
	have, err := monitor.Objects(s, p)
	if err != nil {
		return nil // an object that cannot be read is a finding of its own
	}
	return manifest.Lacking(p, have)
}

func (a Auditor) lookAtCgroups(s *Snapshot) error {
	for uid, held := range sandbox.HeldBy(a.Store.Instance) {
		p := s.pod(uid)
		p.Cgroups, p.Keepers, p.Containers = true, held.Keepers, held.Containers
	}
	return nil
}

// lookAtKeepers comes last: whatever was seen of a pod was there while it was kept.
// A monitor that is in no cgroup of its pod is known by its arguments.
func (a Auditor) lookAtKeepers(s *Snapshot) error {
	monitors, err := monitor.Monitors(a.Store)
	if err != nil {
		return err
	}
	for uid, pids := range monitors {
		p := s.pod(uid)
		for _, pid := range pids {
			if !slices.Contains(p.Keepers, pid) {
				p.Keepers = append(p.Keepers, pid)
			}
		}
	}
	for uid, p := range s.Pods {
		locked, err := monitor.Kept(a.Store, uid)
		if err != nil {
			return fmt.Errorf("look at the lock of pod %s: %w", uid, err)
		}
		p.Kept = locked || len(p.Keepers) > 0 && (p.Record != nil || len(p.Names) > 0)
	}
	return nil
}

func (a Auditor) lookAtMounts(s *Snapshot) error {
	table, err := mountinfo.GetMounts(nil)
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	for _, m := range table {
		for _, dir := range []string{filepath.Join(a.Store.Root, "pods"), filepath.Join(a.Store.RunRoot, "pods")} {
			if strings.HasPrefix(m.Mountpoint, dir+"/") {
				s.Mounts = append(s.Mounts, m.Mountpoint)
			}
		}
	}
	return nil
}
