package volumes

import (
	"cmp"
	"slices"
)

// Mounted is a volume that is a file system of its own, mounted in the pod's
// mount namespace.
type Mounted struct {
	Name, Path string
	Lost       bool // it is mounted no more
}

// IsMounted tells whether something is mounted at the path.
func IsMounted(path string) bool {
	there, err := isMountPoint(path)
	return err == nil && there
}

// Mounted lists such volumes, sorted by name. One that somebody has unmounted is
// lost for the containers to come: those that run have binds of their own.
func (s *Set) Mounted() ([]Mounted, error) {
	var list []Mounted
	for _, v := range s.volumes {
		if !v.mounted {
			continue
		}
		there, err := isMountPoint(v.path)
		if err != nil {
			return nil, err
		}
		list = append(list, Mounted{Name: v.name, Path: v.path, Lost: !there})
	}
	slices.SortFunc(list, func(a, b Mounted) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}
