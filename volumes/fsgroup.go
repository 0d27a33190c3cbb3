package volumes

import (
	"fmt"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"

	"podrun/step"
	"podrun/tree"
)

// groupReads is what an fsGroup may do with what is projected (kubelet,
// pkg/volume/volume_linux.go).
const groupReads = 0o440

// noGroup stands for a pod without an fsGroup.
const noGroup = -1

// fsGroup is the pod's, or noGroup.
func (s *Spec) fsGroup() int {
	if sc := s.Pod.Spec.SecurityContext; sc != nil && sc.FSGroup != nil {
		return int(*sc.FSGroup)
	}
	return noGroup
}

// letGroupRead gives the pod's fsGroup the right to read what is projected,
// whatever mode it was asked for with. Its group the file gets from the
// directory that it is made in.
func (s *Spec) letGroupRead(files []projected) {
	if s.fsGroup() == noGroup {
		return
	}
	for i := range files {
		files[i].mode |= groupReads
	}
}

// giveToGroup makes the pod's fsGroup the group of a volume that was there
// before the pod, as fsGroupChangePolicy says, once in the life of the pod: a
// later monitor must not undo what containers did to modes and groups.
func (s *Spec) giveToGroup(volume, path string) error {
	gid := s.fsGroup()
	if gid == noGroup {
		return nil
	}
	marker := filepath.Join(s.Dir, "."+volume+".given")
	if _, err := os.Lstat(marker); err == nil {
		return nil
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	onMismatch := false
	if policy := s.Pod.Spec.SecurityContext.FSGroupChangePolicy; policy != nil {
		onMismatch = *policy == v1.FSGroupChangeOnRootMismatch
	}
	if err := tree.Give(path, gid, onMismatch); err != nil {
		return fmt.Errorf("give the volume to fsGroup %d: %w", gid, err)
	}
	defer step.Change("mark volume as given")()
	return os.WriteFile(marker, nil, 0o600)
}
