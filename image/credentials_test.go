package image

import (
	"strings"
	"testing"
)

func TestCredentialMatches(t *testing.T) {
	for _, test := range []struct {
		server, host, repository string
		want                     bool
	}{
		{"https://index.docker.io/v1/", "index.docker.io", "library/busybox", true},
		{"docker.io", "index.docker.io", "me/app", true},
		{"docker.io/me", "index.docker.io", "you/app", false},
		{"registry.example", "registry.example", "app", true},
		{"https://registry.example/v2/", "registry.example", "app", true},
		{"registry.example/team", "registry.example", "team/app", true},
		{"registry.example/v1/team", "registry.example", "team/app", true},
		{"registry.example/team", "registry.example", "other/app", false},
		{"registry.example", "registry.example:5000", "app", false},
		{"registry.example:5000", "registry.example:5000", "app", true},
		{"*.example", "registry.example", "app", true},
		{"*.example", "a.registry.example", "app", false},
		{"r*.example/team", "registry.example", "team/app", true},
		{"registry.example", "registry.example.evil", "app", false},
	} {
		c := Credential{Match: pattern(test.server)}
		if got := c.matches(test.host, test.repository); got != test.want {
			t.Errorf("%s for %s/%s: got %v", test.server, test.host, test.repository, got)
		}
	}
}

func TestParseCredentials(t *testing.T) {
	list, err := ParseCredentials([]byte(`{"auths": {"r.example": {"auth": "bWU6c2VjcmV0"}}}`), false)
	if err != nil || len(list) != 1 || list[0].Auth.Username != "me" || list[0].Auth.Password != "secret" || list[0].Match != "r.example" {
		t.Errorf("got %+v, %v", list, err)
	}
	list, err = ParseCredentials([]byte(`{"r.example": {"username": "me", "password": "secret"}}`), true)
	if err != nil || len(list) != 1 || list[0].Auth.Username != "me" || list[0].Auth.Password != "secret" {
		t.Errorf("dockercfg: got %+v, %v", list, err)
	}
	if _, err := ParseCredentials([]byte(`{"auths": "hunter2"}`), false); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("no configuration: got error %v, want one that keeps the secret", err)
	}
}
