package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// projected is one file of a configMap or secret volume.
type projected struct {
	path string // relative and clean
	data []byte
	mode fs.FileMode
}

// projection makes a configMap volume on disk, or a secret volume on a tmpfs,
// and writes its data if it is not there already. Containers get both
// read-only, whatever their volumeMount says (kubelet, since 1.9.6).
func (s *Spec) projection(v *v1.Volume) (volume, error) {
	var files []projected
	var err error
	if v.Secret != nil {
		files, err = secretFiles(v.Secret, s.Secrets[v.Secret.SecretName])
	} else {
		files, err = configMapFiles(v.ConfigMap, s.ConfigMaps[v.ConfigMap.Name])
	}
	if err != nil {
		return volume{}, err
	}
	s.letGroupRead(files)
	path, err := s.directory(v.Name)
	if err != nil {
		return volume{}, err
	}
	if v.Secret != nil {
		if err := s.mountMemory(path, nil); err != nil {
			return volume{}, err
		}
	}
	return volume{path: path, readOnly: true, own: true}, writeAtomic(path, files)
}

func configMapFiles(source *v1.ConfigMapVolumeSource, object *v1.ConfigMap) ([]projected, error) {
	p := plan{kind: "config", items: source.Items, mode: source.DefaultMode, optional: source.Optional}
	if object != nil {
		p.data = make(map[string][]byte, len(object.Data)+len(object.BinaryData))
		maps.Copy(p.data, object.BinaryData)
		for key, text := range object.Data {
			p.data[key] = []byte(text)
		}
	} else if !p.isOptional() {
		return nil, notFound("configmap", source.Name)
	}
	return p.files()
}

func secretFiles(source *v1.SecretVolumeSource, object *v1.Secret) ([]projected, error) {
	p := plan{kind: "secret", items: source.Items, mode: source.DefaultMode, optional: source.Optional}
	if object != nil {
		p.data = object.Data
	} else if !p.isOptional() {
		return nil, notFound("secret", source.SecretName)
	}
	return p.files()
}

// notFound says what the kubelet hears from its API server, and what to do.
func notFound(kind, name string) error {
	return fmt.Errorf("%s %q not found: give its manifest together with the pod's, or mark the volume optional", kind, name)
}

// plan is what configMap and secret volumes have in common.
type plan struct {
	kind     string // as the kubelet says it of a missing key
	data     map[string][]byte
	items    []v1.KeyToPath
	mode     *int32
	optional *bool
}

func (p *plan) isOptional() bool { return p.optional != nil && *p.optional }

// files returns the files of the volume, sorted by path. Without items each key
// is a file; of two items with one path the later one wins.
func (p *plan) files() ([]projected, error) {
	items := p.items
	if len(items) == 0 {
		for key := range p.data {
			items = append(items, v1.KeyToPath{Key: key, Path: key})
		}
	}
	byPath := make(map[string]projected, len(items))
	for _, item := range items {
		data, ok := p.data[item.Key]
		if !ok && p.isOptional() {
			continue
		}
		if !ok {
			return nil, fmt.Errorf("references non-existent %s key: %s", p.kind, item.Key)
		}
		clean, err := cleanPath(item.Path)
		if err != nil {
			return nil, err
		}
		byPath[clean] = projected{path: clean, data: data, mode: p.modeOf(item)}
	}
	return slices.SortedFunc(maps.Values(byPath), func(a, b projected) int {
		return strings.Compare(a.path, b.path)
	}), nil
}

func (p *plan) modeOf(item v1.KeyToPath) fs.FileMode {
	mode := v1.ConfigMapVolumeSourceDefaultMode // a secret's is the same
	if p.mode != nil {
		mode = *p.mode
	}
	if item.Mode != nil {
		mode = *item.Mode
	}
	return fs.FileMode(mode) & fs.ModePerm
}

// The kernel's limits, in bytes.
const (
	maxName = 255
	maxPath = 4096
)

// cleanPath returns the shortest form of a path inside the volume, or refuses
// it in the kubelet's words (AtomicWriter). Unlike the kubelet it looks at the
// first name again after the path was cleaned: "./..data" is not the volume's
// own link.
func cleanPath(name string) (string, error) {
	switch {
	case name == "":
		return "", errors.New("invalid path: must not be empty")
	case path.IsAbs(name):
		return "", fmt.Errorf("invalid path: must be relative path: %s", name)
	case len(name) > maxPath:
		return "", fmt.Errorf("invalid path: must be less than or equal to %d characters", maxPath)
	case strings.Contains(name, "\x00"):
		return "", fmt.Errorf("invalid path: must not contain a NUL character: %q", name)
	}
	for element := range strings.SplitSeq(name, "/") {
		if element == ".." {
			return "", fmt.Errorf("invalid path: must not contain '..': %s", name)
		}
		if len(element) > maxName {
			return "", fmt.Errorf("invalid path: filenames must be less than or equal to %d characters", maxName)
		}
	}
	clean := path.Clean(name)
	if strings.HasPrefix(clean, "..") {
		return "", fmt.Errorf("invalid path: must not start with '..': %s", name)
	}
	if clean == "." {
		return "", fmt.Errorf("invalid path: must name a file: %s", name)
	}
	return clean, nil
}
