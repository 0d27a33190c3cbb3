package manifest

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	v1 "k8s.io/api/core/v1"
)

// EnvSource is what a container's environment is made of.
type EnvSource struct {
	Pod       *v1.Pod // with UID, Spec.NodeName and the addresses in Status as the caller knows them
	Container *v1.Container
	References

	// Allocatable is what the machine has: the limits of a container without limits.
	Allocatable func() v1.ResourceList
	// File opens a file of the Pod's volume for a fileKeyRef, and gives its path on the machine.
	File func(volume, path string) (file io.ReadCloser, onMachine string, err error)
}

// Environment gives the variables that a container's envFrom and env come to, by the kubelet's rules
// (makeEnvironmentVariables): envFrom first, a later source over an earlier one, then env in order, whose
// values may refer to everything before them as $(NAME). A name appears once, where it was first set.
// Everything has a Value, nothing a ValueFrom. The image's own variables are not part of it. An error is
// worded as the kubelet words it in a container's CreateContainerConfigError.
func Environment(s EnvSource) ([]v1.EnvVar, error) {
	e := environment{index: map[string]int{}}
	for _, from := range s.Container.EnvFrom {
		if err := e.from(s, from); err != nil {
			return nil, err
		}
	}
	for _, v := range s.Container.Env {
		value, set := expand(v.Value, e.lookup), true
		if v.Value == "" && v.ValueFrom != nil {
			var err error
			if value, set, err = s.value(v.ValueFrom); err != nil {
				return nil, err
			}
		}
		if set {
			e.set(v.Name, value)
		}
	}
	return e.vars, e.check()
}

type environment struct {
	vars  []v1.EnvVar
	index map[string]int // of a name in vars
}

func (e *environment) set(name, value string) {
	if i, ok := e.index[name]; ok {
		e.vars[i].Value = value
		return
	}
	e.index[name] = len(e.vars)
	e.vars = append(e.vars, v1.EnvVar{Name: name, Value: value})
}

// check refuses what cannot reach the program as it is: variables go through JSON on their way (as from a kubelet
// to its runtime), which would put other bytes in the place of those that are no UTF-8.
func (e *environment) check() error {
	for _, v := range e.vars {
		if !utf8.ValidString(v.Value) {
			return fmt.Errorf("the value of variable %s is not valid UTF-8: mount it as a file", v.Name)
		}
	}
	return nil
}

func (e *environment) lookup(name string) (string, bool) {
	i, ok := e.index[name]
	if !ok {
		return "", false
	}
	return e.vars[i].Value, true
}

// from sets every key of a ConfigMap or Secret. Any key will do as a name since Kubernetes 1.34 relaxed them.
func (e *environment) from(s EnvSource, from v1.EnvFromSource) error {
	switch {
	case from.ConfigMapRef != nil:
		cm, err := s.configMap(from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
		if cm == nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(cm.Data)) {
			e.set(from.Prefix+key, cm.Data[key])
		}
	case from.SecretRef != nil:
		secret, err := s.secret(from.SecretRef.Name, from.SecretRef.Optional)
		if secret == nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(secret.Data)) {
			e.set(from.Prefix+key, string(secret.Data[key]))
		}
	}
	return nil
}

// value resolves a valueFrom. set is false if something optional is missing: then the variable keeps an earlier value.
func (s EnvSource) value(from *v1.EnvVarSource) (value string, set bool, err error) {
	switch {
	case from.FieldRef != nil:
		value, err = Field(s.Pod, from.FieldRef.FieldPath)
	case from.ResourceFieldRef != nil:
		value, err = Resource(s.Pod, s.Container, from.ResourceFieldRef, s.allocatable)
	case from.FileKeyRef != nil:
		return s.fileKey(from.FileKeyRef)
	case from.ConfigMapKeyRef != nil:
		r := from.ConfigMapKeyRef
		cm, err := s.configMap(r.Name, r.Optional)
		if cm == nil {
			return "", false, err
		}
		text, ok := cm.Data[r.Key]
		if !ok && !optional(r.Optional) {
			err = errors.New(missingKey(r.Key, "ConfigMap", s.Pod.Namespace, r.Name))
		}
		return text, ok, err
	case from.SecretKeyRef != nil:
		r := from.SecretKeyRef
		secret, err := s.secret(r.Name, r.Optional)
		if secret == nil {
			return "", false, err
		}
		data, ok := secret.Data[r.Key]
		if !ok && !optional(r.Optional) {
			err = errors.New(missingKey(r.Key, "Secret", s.Pod.Namespace, r.Name))
		}
		return string(data), ok, err
	}
	return value, err == nil, err
}

// configMap gives nil, and no error, for an optional one that is missing.
func (s EnvSource) configMap(name string, opt *bool) (*v1.ConfigMap, error) {
	cm := s.ConfigMaps[name]
	if cm == nil && !optional(opt) {
		return nil, errors.New(notFound("configmap", name))
	}
	return cm, nil
}

func (s EnvSource) secret(name string, opt *bool) (*v1.Secret, error) {
	secret := s.Secrets[name]
	if secret == nil && !optional(opt) {
		return nil, errors.New(notFound("secret", name))
	}
	return secret, nil
}

// fileKey reads a variable from a file in a volume. As under the kubelet only the key may be missing from an
// optional one, not the file, and an empty value is a missing one.
func (s EnvSource) fileKey(ref *v1.FileKeySelector) (value string, set bool, err error) {
	file, path, err := s.File(ref.VolumeName, ref.Path)
	if err != nil {
		return "", false, fmt.Errorf("couldn't parse env file: %w", err)
	}
	defer file.Close()
	value, err = envFile(io.LimitReader(file, maxEnvFile), ref.Key)
	if err != nil {
		return "", false, fmt.Errorf("couldn't parse env file: %s: %w", path, err)
	}
	if value == "" && !optional(ref.Optional) {
		return "", false, fmt.Errorf("environment variable key %q not found in file %q", ref.Key, path)
	}
	return value, value != "", nil
}

// allocatable is what limits without a value are: the Pod's own limits before the machine's resources
// (kubelet, defaultPodLimitsForDownwardAPI).
func (s EnvSource) allocatable() v1.ResourceList {
	list := s.Allocatable()
	if own := s.Pod.Spec.Resources; own != nil {
		for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
			if q := own.Limits[name]; !q.IsZero() {
				list[name] = q
			}
		}
	}
	return list
}

// Changeable tells whether the Environment of a container may become another without a change of the container
// itself: it is made of objects, files, labels or annotations.
func Changeable(c *v1.Container) bool {
	return len(c.EnvFrom) > 0 || slices.ContainsFunc(c.Env, func(e v1.EnvVar) bool {
		from := e.ValueFrom
		if from == nil {
			return false
		}
		return from.ConfigMapKeyRef != nil || from.SecretKeyRef != nil || from.FileKeyRef != nil ||
			from.FieldRef != nil && strings.HasSuffix(from.FieldRef.FieldPath, "']")
	})
}
