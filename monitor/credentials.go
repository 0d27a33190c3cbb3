package monitor

import (
	"errors"
	"fmt"
	"os"

	v1 "k8s.io/api/core/v1"

	"podrun/image"
	"podrun/state"
)

// Credentials are those of the pod's imagePullSecrets: of the given Secrets, or
// else of the kept ones. unread names those that are not there or hold none;
// a kubelet goes on without them, and so does podrun.
func Credentials(s *state.Store, p *v1.Pod, given []*v1.Secret) (list []image.Credential, unread []error) {
	for _, ref := range p.Spec.ImagePullSecrets {
		if ref.Name == "" {
			continue
		}
		secret, err := pullSecret(s, p.Namespace, ref.Name, given)
		if err == nil {
			var found []image.Credential
			if found, err = secretCredentials(secret); err == nil {
				list = append(list, found...)
				continue
			}
		}
		unread = append(unread, fmt.Errorf("imagePullSecret %s: %w", ref.Name, err))
	}
	return list, unread
}

func pullSecret(s *state.Store, namespace, name string, given []*v1.Secret) (*v1.Secret, error) {
	for _, secret := range given {
		if secret.Namespace == namespace && secret.Name == name {
			return secret, nil
		}
	}
	secret := &v1.Secret{}
	err := s.ReadObject(namespace, name, secret)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("secret %q not found", name)
	}
	return secret, err
}

func secretCredentials(s *v1.Secret) ([]image.Credential, error) {
	if data, ok := s.Data[v1.DockerConfigJsonKey]; ok && s.Type == v1.SecretTypeDockerConfigJson {
		return image.ParseCredentials(data, false)
	}
	if data, ok := s.Data[v1.DockerConfigKey]; ok && s.Type == v1.SecretTypeDockercfg {
		return image.ParseCredentials(data, true)
	}
	return nil, fmt.Errorf("a secret of type %s holds no credentials: want %s", s.Type, v1.SecretTypeDockerConfigJson)
}
