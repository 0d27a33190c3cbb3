package audit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	v1 "k8s.io/api/core/v1"

	"podrun/claims"
	"podrun/monitor"
	"podrun/state"
)

// Permissions that podrun's own files may have: they name what containers run with.
const (
	privateDirectory = 0o700
	privateFile      = 0o600
	// A root may be a directory of the owner's that others may look into.
	unwritable = 0o755
)

// lookAtFiles lists what podrun itself writes: nothing that a container can write to.
func (a Auditor) lookAtFiles(s *Snapshot) error {
	s.add(a.Store.Root, unwritable)
	s.add(a.Store.RunRoot, unwritable)
	for _, dir := range []string{"pods", "names", "objects", "volumes"} {
		s.add(filepath.Join(a.Store.Root, dir), privateDirectory)
	}
	s.add(filepath.Join(a.Store.RunRoot, "pods"), privateDirectory)
	s.parts(a.Store.RunRoot)
	for uid := range s.Pods {
		dir, run := a.Store.PodDir(uid), a.Store.RunDir(uid)
		s.add(dir, privateDirectory)
		s.add(run, privateDirectory)
		for _, name := range []string{"pod.json", "status.json", "events.jsonl", "users"} {
			s.add(filepath.Join(dir, name), privateFile)
		}
		s.add(filepath.Join(run, "lock"), privateFile)
		s.parts(dir)
		s.parts(run)
	}
	for _, below := range []string{"names", "objects", "volumes"} {
		top := filepath.Join(a.Store.Root, below)
		for _, namespace := range names(top) {
			s.addEmpty(filepath.Join(top, namespace))
			if below != "objects" {
				continue
			}
			for _, kind := range names(filepath.Join(top, namespace)) {
				dir := filepath.Join(top, namespace, kind)
				s.addEmpty(dir)
				s.parts(dir)
				for _, name := range names(dir) {
					if !strings.HasPrefix(name, ".") {
						s.add(filepath.Join(dir, name), privateFile)
					}
				}
			}
		}
	}
	return nil
}

// add notes what is at the path, if anything is.
func (s *Snapshot) add(path string, most fs.FileMode) *File {
	info, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	f := File{Path: path, Mode: info.Mode(), Changed: info.ModTime(), Most: most}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		f.Owner = int(stat.Uid)
	}
	s.Files = append(s.Files, f)
	return &s.Files[len(s.Files)-1]
}

// addEmpty is add for a directory that is made when something comes into it.
func (s *Snapshot) addEmpty(dir string) {
	if f := s.add(dir, privateDirectory); f != nil && f.Mode.IsDir() {
		f.Empty = len(names(dir)) == 0
	}
}

// parts notes the files in a directory that were being written (state.WriteFile).
func (s *Snapshot) parts(dir string) {
	for _, name := range names(dir) {
		if !state.IsPart(name) {
			continue
		}
		if f := s.add(filepath.Join(dir, name), 0); f != nil {
			f.Part = f.Mode.IsRegular()
		}
	}
}

func (a Auditor) lookAtObjects(s *Snapshot) error {
	for _, o := range []state.Object{&v1.ConfigMap{}, &v1.Secret{}, &v1.PersistentVolumeClaim{}} {
		refs, err := a.Store.ObjectNames("", o)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			err := a.Store.ReadObject(ref.Namespace, ref.Name, o)
			if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, state.ErrNewer) {
				s.Objects = append(s.Objects, Problem{a.Store.ObjectPath(ref.Namespace, ref.Name, o), err})
			}
		}
	}
	return nil
}

func (a Auditor) lookAtVolumes(s *Snapshot) error {
	top := filepath.Dir(a.Store.ClaimDir("x"))
	for _, namespace := range names(top) {
		for _, name := range names(filepath.Join(top, namespace)) {
			dir := filepath.Join(top, namespace, name)
			v := Volume{Volume: state.Volume{Namespace: namespace, Name: name}}
			if strings.HasPrefix(name, ".") {
				v.Hidden = dir
				if !strings.HasSuffix(name, ".removed") {
					v.Owner = name[strings.LastIndexByte(name, '.')+1:]
				}
				s.Volumes = append(s.Volumes, v)
				continue
			}
			var err error
			if v.Owner, err = claims.Owner(dir); err != nil || v.Owner == "" || s.known(v.Owner) {
				continue
			}
			lock, err := claims.Lock(dir, true, false)
			v.InUse = errors.Is(err, claims.ErrInUse)
			if err == nil {
				lock.Close()
			}
			s.Volumes = append(s.Volumes, v)
		}
	}
	return nil
}

// lookAtLogs finds the directories that carry the mark of this instance: others
// write logs to the same place.
func (a Auditor) lookAtLogs(s *Snapshot) error {
	for _, name := range names(a.Store.LogDir) {
		path := filepath.Join(a.Store.LogDir, name)
		if monitor.LogsOf(path) == a.Store.Instance {
			s.Logs = append(s.Logs, Log{Path: path, UID: name[strings.LastIndexByte(name, '_')+1:]})
		}
	}
	return nil
}
