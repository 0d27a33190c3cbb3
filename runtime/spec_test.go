package runtime

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

func TestCommand(t *testing.T) {
	image := Image{Entrypoint: []string{"/entry", "-x"}, Cmd: []string{"cmd", "1"}}
	tests := []struct {
		why           string
		image         Image
		command, args []string
		want          []string
	}{
		{"the image's own", image, nil, nil, []string{"/entry", "-x", "cmd", "1"}},
		{"args replace the image's arguments", image, nil, []string{"a"}, []string{"/entry", "-x", "a"}},
		{"command replaces both", image, []string{"c"}, nil, []string{"c"}},
		{"command and args replace both", image, []string{"c"}, []string{"a"}, []string{"c", "a"}},
		{"an image without entrypoint", Image{Cmd: []string{"sh"}}, nil, nil, []string{"sh"}},
		{"args where there is no entrypoint are the command", Image{Cmd: []string{"sh"}}, nil, []string{"a"}, []string{"a"}},
		{"nothing runs", Image{}, nil, nil, nil},
	}
	for _, test := range tests {
		s := Spec{Image: test.image, Command: test.command, Args: test.args}
		got, err := s.command()
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.why, got, test.want)
		}
		if config := (*ConfigError)(nil); errors.As(err, &config) != (test.want == nil) {
			t.Errorf("%s: got error %v", test.why, err)
		}
	}
	if !reflect.DeepEqual(image, Image{Entrypoint: []string{"/entry", "-x"}, Cmd: []string{"cmd", "1"}}) {
		t.Errorf("the image was changed: %+v", image)
	}
}

func TestEnvironment(t *testing.T) {
	tests := []struct {
		why   string
		tty   bool
		image []string
		env   []v1.EnvVar
		want  string
	}{
		{"nothing given", false, nil, nil, "PATH=" + defaultPath + " HOSTNAME=web"},
		{"a terminal", true, nil, nil, "PATH=" + defaultPath + " HOSTNAME=web TERM=xterm"},
		{"the image's path", false, []string{"PATH=/x"}, nil, "PATH=/x HOSTNAME=web"},
		{"the manifest's over the image's, in its place", false, []string{"A=1", "B=2"}, []v1.EnvVar{{Name: "A", Value: "3"}}, "PATH=" + defaultPath + " HOSTNAME=web A=3 B=2"},
		{"the last of one name", false, nil, []v1.EnvVar{{Name: "A", Value: "1"}, {Name: "A", Value: "2"}}, "PATH=" + defaultPath + " HOSTNAME=web A=2"},
		{"an entry without value must not become the monitor's variable", false, []string{"HOME", "=x", ""}, nil, "PATH=" + defaultPath + " HOSTNAME=web"},
		{"empty values and equal signs", false, []string{"A=", "B=c=d"}, []v1.EnvVar{{Name: "E"}}, "PATH=" + defaultPath + " HOSTNAME=web A= B=c=d E="},
		{"hostname of the manifest", false, nil, []v1.EnvVar{{Name: "HOSTNAME", Value: "x"}}, "PATH=" + defaultPath + " HOSTNAME=x"},
	}
	for _, test := range tests {
		s := Spec{Container: &v1.Container{TTY: test.tty}, Hostname: "web", Image: Image{Env: test.image}, Env: test.env}
		if got := strings.Join(s.environment(), " "); got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", test.why, got, test.want)
		}
	}
}

func TestWorkingDir(t *testing.T) {
	for _, test := range []struct{ manifest, image, want string }{
		{"", "", "/"}, {"", "/i", "/i"}, {"/m", "", "/m"}, {"/m", "/i", "/m"},
	} {
		s := Spec{Container: &v1.Container{WorkingDir: test.manifest}, Image: Image{WorkingDir: test.image}}
		if got := s.workingDir(); got != test.want {
			t.Errorf("%q over %q: got %q, want %q", test.manifest, test.image, got, test.want)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestSecurityOfContainerOverPod(t *testing.T) {
	s := Spec{
		Pod: &v1.Pod{Spec: v1.PodSpec{SecurityContext: &v1.PodSecurityContext{
			RunAsUser: ptr(int64(1)), RunAsGroup: ptr(int64(2)), RunAsNonRoot: ptr(true),
			SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeUnconfined},
		}}},
		Container: &v1.Container{},
	}
	got := s.security()
	if *got.RunAsUser != 1 || *got.RunAsGroup != 2 || !*got.RunAsNonRoot || got.SeccompProfile.Type != v1.SeccompProfileTypeUnconfined {
		t.Errorf("the pod's: got %+v", got)
	}
	s.Container.SecurityContext = &v1.SecurityContext{
		RunAsUser: ptr(int64(0)), RunAsGroup: ptr(int64(0)), RunAsNonRoot: ptr(false),
		SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeRuntimeDefault},
	}
	want := *s.Container.SecurityContext
	if got := s.security(); !reflect.DeepEqual(got, want) {
		t.Errorf("the container's: got %+v, want %+v", got, want)
	}
	s.Pod.Spec.SecurityContext = nil
	if got := s.security(); !reflect.DeepEqual(got, want) {
		t.Errorf("no pod's: got %+v, want %+v", got, want)
	}
}
