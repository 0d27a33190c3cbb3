package check

import (
	"encoding/json"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ConfigMap complains of a ConfigMap.
func ConfigMap(cm *v1.ConfigMap) field.ErrorList {
	errs := validateMeta(&cm.ObjectMeta)
	size := 0
	for key, value := range cm.Data {
		at := field.NewPath("data").Key(key)
		errs = append(errs, invalid(at, key, validation.IsConfigMapKey(key))...)
		if _, twice := cm.BinaryData[key]; twice {
			errs = append(errs, field.Invalid(at, key, "duplicate of key present in binaryData"))
		}
		size += len(value)
	}
	for key, value := range cm.BinaryData {
		errs = append(errs, invalid(field.NewPath("binaryData").Key(key), key, validation.IsConfigMapKey(key))...)
		size += len(value)
	}
	if size > v1.MaxSecretSize { // upstream has one limit for both kinds
		errs = append(errs, field.TooLong(field.NewPath("data"), "", v1.MaxSecretSize))
	}
	return errs
}

// secretKeys are the keys that a Secret of a type must have.
func secretKeys(t v1.SecretType) []string {
	switch t {
	case v1.SecretTypeDockercfg:
		return []string{v1.DockerConfigKey}
	case v1.SecretTypeDockerConfigJson:
		return []string{v1.DockerConfigJsonKey}
	case v1.SecretTypeSSHAuth:
		return []string{v1.SSHAuthPrivateKey}
	case v1.SecretTypeTLS:
		return []string{v1.TLSCertKey, v1.TLSPrivateKeyKey}
	}
	return nil
}

// Secret complains of a Secret, whose stringData has gone into data.
func Secret(s *v1.Secret) field.ErrorList {
	errs := validateMeta(&s.ObjectMeta)
	path := field.NewPath("data")
	size := 0
	for key, value := range s.Data {
		errs = append(errs, invalid(path.Key(key), key, validation.IsConfigMapKey(key))...)
		size += len(value)
	}
	if size > v1.MaxSecretSize {
		errs = append(errs, field.TooLong(path, "", v1.MaxSecretSize))
	}
	for _, key := range secretKeys(s.Type) {
		value, ok := s.Data[key]
		switch {
		case !ok:
			errs = append(errs, field.Required(path.Key(key), "a Secret of type "+string(s.Type)+" has it"))
		case (key == v1.DockerConfigKey || key == v1.DockerConfigJsonKey) && !json.Valid(value):
			errs = append(errs, field.Invalid(path.Key(key), "<secret contents redacted>", "must be JSON"))
		}
	}
	_, user := s.Data[v1.BasicAuthUsernameKey]
	_, password := s.Data[v1.BasicAuthPasswordKey]
	if s.Type == v1.SecretTypeBasicAuth && !user && !password {
		errs = append(errs, field.Required(path, "a Secret of type "+string(s.Type)+" has a username or a password"))
	}
	return errs
}

// Claim complains of a PersistentVolumeClaim with its defaults.
func Claim(c *v1.PersistentVolumeClaim) field.ErrorList {
	errs := validateMeta(&c.ObjectMeta)
	path := field.NewPath("spec")
	if len(c.Spec.AccessModes) == 0 {
		errs = append(errs, field.Required(path.Child("accessModes"), "at least 1 access mode is required"))
	}
	for i, mode := range c.Spec.AccessModes {
		errs = append(errs, oneOf(path.Child("accessModes").Index(i), mode, v1.ReadWriteOnce, v1.ReadOnlyMany, v1.ReadWriteMany, v1.ReadWriteOncePod)...)
	}
	if slices.Contains(c.Spec.AccessModes, v1.ReadWriteOncePod) && len(c.Spec.AccessModes) > 1 {
		errs = append(errs, field.Forbidden(path.Child("accessModes"), "may not use ReadWriteOncePod with other access modes"))
	}
	storage, ok := c.Spec.Resources.Requests[v1.ResourceStorage]
	at := path.Child("resources", "requests").Key(string(v1.ResourceStorage))
	switch {
	case !ok:
		errs = append(errs, field.Required(at, ""))
	case storage.Sign() <= 0:
		errs = append(errs, field.Invalid(at, storage.String(), "must be greater than zero"))
	}
	return append(errs, oneOf(path.Child("volumeMode"), *c.Spec.VolumeMode, v1.PersistentVolumeFilesystem)...)
}
