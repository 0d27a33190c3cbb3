package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"podrun/step"
)

// hostPath checks the path, and makes it for the types that say OrCreate. A
// path without a type is not looked at: what is missing becomes a directory
// when the first container is made, as containerd does. Links are followed.
// Nothing here is ever removed.
func (s *Spec) hostPath(v *v1.Volume) (volume, error) {
	source := v.HostPath
	if err := noBacksteps(source.Path); err != nil {
		return volume{}, fmt.Errorf("invalid HostPath `%s`: %w", source.Path, err)
	}
	if !filepath.IsAbs(source.Path) {
		return volume{}, fmt.Errorf("invalid HostPath `%s`: must be an absolute path", source.Path)
	}
	paths, writable := hostPathsOf(&s.Pod.Spec, v)
	for _, path := range paths {
		if err := s.Guard.check(path, writable); err != nil {
			return volume{}, err
		}
	}
	wanted := v1.HostPathUnset
	if source.Type != nil {
		wanted = *source.Type
	}
	made := volume{path: source.Path, create: wanted == v1.HostPathUnset, machine: true}
	switch wanted {
	case v1.HostPathUnset:
		return made, nil
	case v1.HostPathDirectoryOrCreate:
		if missing(source.Path) {
			defer step.Change("make directory of a hostPath")()
			return made, os.MkdirAll(source.Path, 0o755)
		}
		wanted = v1.HostPathDirectory
	case v1.HostPathFileOrCreate:
		if missing(source.Path) {
			return made, makeFile(source.Path)
		}
		wanted = v1.HostPathFile
	}
	return made, checkType(source.Path, wanted)
}

// checkType compares what is at the path with the type, in the kubelet's words.
func checkType(path string, wanted v1.HostPathType) error {
	description := describe(wanted)
	if description == "" {
		return fmt.Errorf("%s is an invalid volume type", wanted)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("hostPath type check failed: %s is not a %s: it doesn't exist", path, description)
	case err != nil:
		return fmt.Errorf("hostPath type check failed: %s is not a %s, its type is unknown: %w", path, description, err)
	}
	if found := typeOf(info.Mode()); found != wanted {
		return fmt.Errorf("hostPath type check failed: %s is not a %s, it's a %s", path, description, found)
	}
	return nil
}

// describe is what the kubelet calls a type in its complaints.
func describe(t v1.HostPathType) string {
	switch t {
	case v1.HostPathDirectory:
		return "directory"
	case v1.HostPathFile:
		return "file"
	case v1.HostPathSocket:
		return "socket file"
	case v1.HostPathCharDev:
		return "character device"
	case v1.HostPathBlockDev:
		return "block device"
	}
	return ""
}

func typeOf(mode fs.FileMode) v1.HostPathType {
	switch {
	case mode.IsDir():
		return v1.HostPathDirectory
	case mode.IsRegular():
		return v1.HostPathFile
	case mode&fs.ModeSocket != 0:
		return v1.HostPathSocket
	case mode&fs.ModeCharDevice != 0:
		return v1.HostPathCharDev
	case mode&fs.ModeDevice != 0:
		return v1.HostPathBlockDev
	}
	return "pipe"
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// makeFile makes an empty file. As under the kubelet its directory must exist.
func makeFile(path string) error {
	defer step.Change("make file of a hostPath")()
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: FileOrCreate makes no directories: create %s first", err, filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// noBacksteps refuses a path that has ".." as an element.
func noBacksteps(path string) error {
	if slices.Contains(strings.Split(path, "/"), "..") {
		return errors.New("must not contain '..'")
	}
	return nil
}
