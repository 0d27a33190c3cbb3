package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// Credential opens the repositories that match a pattern.
type Credential struct {
	// Match is host[:port][/path]; a * in a part of the host stands for anything
	// but a dot, and the path matches all that begin with it.
	Match string           `json:"match"`
	Auth  authn.AuthConfig `json:"auth"`
}

// ParseCredentials reads docker's configuration as the API has it in Secrets:
// of type kubernetes.io/dockerconfigjson, or with legacy of type
// kubernetes.io/dockercfg, which is the inner map alone.
func ParseCredentials(data []byte, legacy bool) ([]Credential, error) {
	var config struct {
		Auths map[string]authn.AuthConfig `json:"auths"`
	}
	var err error
	if legacy {
		err = json.Unmarshal(data, &config.Auths)
	} else {
		err = json.Unmarshal(data, &config)
	}
	if err != nil {
		return nil, errors.New("read credentials: it is no configuration of docker") // the error may quote a password
	}
	var list []Credential
	for server, auth := range config.Auths {
		list = append(list, Credential{Match: pattern(server), Auth: auth})
	}
	return list, nil
}

// pattern is a server's key in docker's configuration without the scheme and the
// version of the API (kubelet, credentialprovider, BasicDockerKeyring.Add).
func pattern(server string) string {
	if _, rest, ok := strings.Cut(server, "://"); ok {
		server = rest
	}
	host, rest, _ := strings.Cut(server, "/")
	for _, version := range []string{"v1", "v2"} {
		if rest == version {
			rest = ""
		}
		rest = strings.TrimPrefix(rest, version+"/")
	}
	return strings.TrimSuffix(host+"/"+rest, "/")
}

// dockerHub are the names of docker's registry.
var dockerHub = []string{"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}

// matches reports whether the credential is for the repository, such as
// example.com:5000/team/app.
func (c Credential) matches(host, repository string) bool {
	want, prefix, _ := strings.Cut(c.Match, "/")
	if !strings.HasPrefix(repository, prefix) {
		return false
	}
	if slices.Contains(dockerHub, host) {
		return slices.Contains(dockerHub, want)
	}
	return matchHost(want, host)
}

// matchHost compares part by part, so that *.example.com is not a.b.example.com.
func matchHost(want, host string) bool {
	w, h := &url.URL{Host: want}, &url.URL{Host: host}
	parts, globs := strings.Split(h.Hostname(), "."), strings.Split(w.Hostname(), ".")
	if w.Port() != h.Port() || len(parts) != len(globs) {
		return false
	}
	for i := range parts {
		if ok, err := path.Match(globs[i], parts[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

// logins are what to try for a repository, in this order: the credentials that
// match, the most special pattern first, or where none does, the machine's own.
func (o PullOptions) logins(ctx context.Context, ref name.Reference) ([]authn.Authenticator, error) {
	repository := ref.Context()
	var found []Credential
	for _, c := range o.Credentials {
		if c.matches(repository.RegistryStr(), repository.RepositoryStr()) {
			found = append(found, c)
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].Match > found[j].Match })
	var all []authn.Authenticator
	for _, c := range found {
		all = append(all, authn.FromConfig(c.Auth))
	}
	if len(all) > 0 {
		return all, nil
	}
	keychain := o.Keychain
	if keychain == nil {
		keychain = authn.DefaultKeychain
	}
	auth, err := authn.Resolve(ctx, keychain, repository)
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	return []authn.Authenticator{auth}, nil
}
