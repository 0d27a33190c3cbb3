package cli

import (
	"bytes"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

func TestPodNamed(t *testing.T) {
	for given, want := range map[string]string{
		"web": "here/web", "pod/web": "here/web", "pods/web": "here/web", "there/web": "there/web", "pod/there/web": "there/web",
	} {
		if ref := podNamed("here", given); ref.Namespace+"/"+ref.Name != want {
			t.Errorf("%s: got %+v, want %s", given, ref, want)
		}
	}
}

func TestPickContainer(t *testing.T) {
	for _, test := range []struct {
		name       string
		containers []string
		inits      []string
		annotation string
		asked      string
		want       string
		wantNotice string
		wantErr    string
	}{
		{name: "the only one", containers: []string{"a"}, want: "a"},
		{name: "the only one beside an init container", containers: []string{"a"}, inits: []string{"i"}, want: "a"},
		{name: "the first of two", containers: []string{"a", "b"}, want: "a", wantNotice: "Defaulted container \"a\" out of: a, b\n"},
		{name: "the pod's default", containers: []string{"a", "b"}, annotation: "b", want: "b"},
		{name: "the one asked for", containers: []string{"a", "b"}, annotation: "b", asked: "a", want: "a"},
		{name: "an init container", containers: []string{"a"}, inits: []string{"i"}, asked: "i", want: "i"},
		{name: "none of its", containers: []string{"a", "b"}, inits: []string{"i"}, asked: "c", wantErr: `has no container "c"; it has: i, a, b`},
		{name: "a default that is none of its", containers: []string{"a"}, annotation: "c", wantErr: `has no container "c"`},
		{name: "a pod whose record is gone", wantErr: "has no container"},
	} {
		p := podOf("", test.containers...)
		for _, name := range test.inits {
			p.Spec.InitContainers = append(p.Spec.InitContainers, v1.Container{Name: name})
		}
		if test.annotation != "" {
			p.Annotations = map[string]string{"kubectl.kubernetes.io/default-container": test.annotation}
		}
		var notice bytes.Buffer
		a := &app{Streams: Streams{Err: &notice}}
		got, err := a.pickContainer(p, test.asked)
		if test.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("%s: got %q, %v, want error %q", test.name, got, err, test.wantErr)
			}
			continue
		}
		if err != nil || got != test.want || notice.String() != test.wantNotice {
			t.Errorf("%s: got %q, %v and notice %q, want %q and %q", test.name, got, err, notice.String(), test.want, test.wantNotice)
		}
	}
}

func TestContainerStatus(t *testing.T) {
	s := &v1.PodStatus{InitContainerStatuses: []v1.ContainerStatus{{Name: "i"}}, ContainerStatuses: []v1.ContainerStatus{{Name: "a"}, {Name: "b"}}}
	for _, name := range []string{"i", "a", "b"} {
		if got := containerStatus(s, name); got == nil || got.Name != name {
			t.Errorf("got %v, want the status of %s", got, name)
		}
	}
	if got := containerStatus(s, "c"); got != nil {
		t.Errorf("got %v, want none", got)
	}
}
