package check

import (
	"encoding/json"

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
	if size > v1.MaxSecretSize { // upstream has one limit for both kinds, and names no field here
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
		case !ok, key == v1.SSHAuthPrivateKey && len(value) == 0:
			errs = append(errs, field.Required(path.Key(key), "a Secret of type "+string(s.Type)+" has it"))
		case (key == v1.DockerConfigKey || key == v1.DockerConfigJsonKey) && json.Unmarshal(value, &map[string]any{}) != nil:
			errs = append(errs, field.Invalid(path.Key(key), "<secret contents redacted>", "must be a JSON object"))
		}
	}
	_, user := s.Data[v1.BasicAuthUsernameKey]
	_, password := s.Data[v1.BasicAuthPasswordKey]
	if s.Type == v1.SecretTypeBasicAuth && !user && !password {
		for _, key := range []string{v1.BasicAuthUsernameKey, v1.BasicAuthPasswordKey} {
			errs = append(errs, field.Required(path.Key(key), "a Secret of type "+string(s.Type)+" has a username or a password"))
		}
	}
	if s.Type == v1.SecretTypeServiceAccountToken && s.Annotations[v1.ServiceAccountNameKey] == "" {
		errs = append(errs, field.Required(field.NewPath("metadata", "annotations").Key(v1.ServiceAccountNameKey), ""))
	}
	return errs
}
