package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	v1 "k8s.io/api/core/v1"

	"podrun/manifest"
)

// projected is one file of a volume that shows objects or the pod itself.
type projected struct {
	path string // relative and clean
	data []byte
	mode fs.FileMode
}

// payload is the files of one volume by path, and what is wrong with it. Of two
// files with one path the later one wins, within a source and among sources
// (kubelet, collectData).
type payload struct {
	files  map[string]projected
	failed []error
}

// payload returns nil for a volume that shows nothing of the kind.
func (s *Spec) payload(v *v1.Volume) *payload {
	p := &payload{files: map[string]projected{}}
	switch {
	case v.ConfigMap != nil:
		c := v.ConfigMap
		p.configMap(s.ConfigMaps[c.Name], keys{c.Name, c.Items, c.DefaultMode, c.Optional})
	case v.Secret != nil:
		c := v.Secret
		p.secret(s.Secrets[c.SecretName], keys{c.SecretName, c.Items, c.DefaultMode, c.Optional})
	case v.DownwardAPI != nil:
		p.downward(s, v.DownwardAPI.Items, v.DownwardAPI.DefaultMode)
	case v.Projected != nil:
		for i := range v.Projected.Sources {
			p.source(s, &v.Projected.Sources[i], v.Projected.DefaultMode)
		}
	default:
		return nil
	}
	return p
}

func (p *payload) source(s *Spec, from *v1.VolumeProjection, mode *int32) {
	switch {
	case from.ConfigMap != nil:
		c := from.ConfigMap
		p.configMap(s.ConfigMaps[c.Name], keys{c.Name, c.Items, mode, c.Optional})
	case from.Secret != nil:
		c := from.Secret
		p.secret(s.Secrets[c.Name], keys{c.Name, c.Items, mode, c.Optional})
	case from.DownwardAPI != nil:
		p.downward(s, from.DownwardAPI.Items, mode)
	default:
		p.fail(errors.New("a source is of a kind that is not supported: use configMap, secret or downwardAPI"))
	}
}

func (p *payload) fail(err error) { p.failed = append(p.failed, err) }

// add takes a file; mode counts before ordinary, where it is set.
func (p *payload) add(name string, data []byte, mode, ordinary *int32) {
	clean, err := cleanPath(name)
	if err != nil {
		p.fail(err)
		return
	}
	bits := v1.ConfigMapVolumeSourceDefaultMode // that of every kind
	for _, m := range []*int32{ordinary, mode} {
		if m != nil {
			bits = *m
		}
	}
	p.files[clean] = projected{path: clean, data: data, mode: fs.FileMode(bits) & fs.ModePerm}
}

// keys says which keys of an object become which files.
type keys struct {
	name     string
	items    []v1.KeyToPath
	mode     *int32
	optional *bool
}

func (k *keys) isOptional() bool { return k.optional != nil && *k.optional }

func (p *payload) configMap(object *v1.ConfigMap, k keys) {
	if object == nil {
		p.missing("configmap", &k)
		return
	}
	data := make(map[string][]byte, len(object.Data)+len(object.BinaryData))
	for key, bytes := range object.BinaryData {
		data[key] = bytes
	}
	for key, text := range object.Data {
		data[key] = []byte(text)
	}
	p.object(data, &k, "configmap references non-existent config key: %s")
}

func (p *payload) secret(object *v1.Secret, k keys) {
	if object == nil {
		p.missing("secret", &k)
		return
	}
	p.object(object.Data, &k, "references non-existent secret key: %s")
}

// missing says what the kubelet hears from its API server, and what to do.
func (p *payload) missing(kind string, k *keys) {
	if !k.isOptional() {
		p.fail(fmt.Errorf("%s %q not found: give its manifest together with the pod's, or mark the volume optional", kind, k.name))
	}
}

// object adds the items; without items each key is a file.
func (p *payload) object(data map[string][]byte, k *keys, missingKey string) {
	if len(k.items) == 0 {
		for key, bytes := range data {
			p.add(key, bytes, nil, k.mode)
		}
	}
	for _, item := range k.items {
		bytes, ok := data[item.Key]
		switch {
		case ok:
			p.add(item.Path, bytes, item.Mode, k.mode)
		case !k.isOptional():
			p.fail(fmt.Errorf(missingKey, item.Key))
		}
	}
}

// downward adds fields of the pod and resources of its containers. What a
// container without a limit has is what the machine has, whatever the pod's own
// limits are (kubelet, CollectData: unlike in env).
func (p *payload) downward(s *Spec, items []v1.DownwardAPIVolumeFile, mode *int32) {
	for i := range items {
		item := &items[i]
		var value string
		var err error
		switch {
		case item.FieldRef != nil:
			value, err = manifest.Field(s.Pod, item.FieldRef.FieldPath)
		case item.ResourceFieldRef != nil:
			value, err = manifest.Resource(s.Pod, nil, item.ResourceFieldRef, s.Allocatable)
		}
		if err != nil {
			p.fail(err)
			continue
		}
		p.add(item.Path, []byte(value), item.Mode, mode)
	}
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
