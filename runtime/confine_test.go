package runtime

import (
	"errors"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

func TestAppArmorProfile(t *testing.T) {
	local := func(name string) *v1.AppArmorProfile {
		return &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeLocalhost, LocalhostProfile: &name}
	}
	usual := &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeRuntimeDefault}
	none := &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeUnconfined}
	loaded := map[string]bool{"mine": true, "docker-default": true}
	tests := []struct {
		why            string
		pod, container *v1.AppArmorProfile
		annotation     string
		privileged     bool
		want, err      string
	}{
		{why: "nothing said"},
		{why: "the pod's", pod: local("mine"), want: "mine"},
		{why: "the container's before the pod's", pod: local("mine"), container: none},
		{why: "the annotation's before the pod's", pod: none, annotation: "localhost/mine", want: "mine"},
		{why: "the container's before the annotation's", container: none, annotation: "localhost/mine"},
		{why: "the annotation for the default", annotation: "runtime/default", want: "docker-default"},
		{why: "the annotation for none", pod: local("mine"), annotation: "unconfined"},
		{why: "the default of what is loaded", pod: usual, want: "docker-default"},
		{why: "privileged by default", pod: usual, privileged: true},
		{why: "privileged by name", pod: local("mine"), privileged: true, want: "mine"},
		{why: "not loaded", pod: local("other"), err: "apparmor profile not found other"},
	}
	for _, test := range tests {
		p := &v1.Pod{Spec: v1.PodSpec{SecurityContext: &v1.PodSecurityContext{AppArmorProfile: test.pod}}}
		if test.annotation != "" {
			p.Annotations = map[string]string{"container.apparmor.security.beta.kubernetes.io/c": test.annotation}
		}
		c := &v1.Container{Name: "c", SecurityContext: &v1.SecurityContext{AppArmorProfile: test.container}}
		var got string
		var err error
		if wanted := appArmorProfile(p, c); wanted != nil {
			got, err = appArmorName(wanted, test.privileged, func() (map[string]bool, error) { return loaded, nil })
		}
		if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got %q (%v), want %q (%s)", test.why, got, err, test.want, test.err)
		}
	}
	if _, err := appArmorName(usual, false, func() (map[string]bool, error) { return nil, nil }); err == nil {
		t.Error("RuntimeDefault without a profile of it is no error")
	}
}

func TestCheckModules(t *testing.T) {
	local := "mine"
	profile := &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeLocalhost, LocalhostProfile: &local}
	of := func(pod *v1.PodSecurityContext, container *v1.SecurityContext) *v1.Pod {
		return &v1.Pod{Spec: v1.PodSpec{SecurityContext: pod, Containers: []v1.Container{{Name: "c", SecurityContext: container}}}}
	}
	annotated := of(nil, nil)
	annotated.Annotations = map[string]string{"container.apparmor.security.beta.kubernetes.io/c": "runtime/default"}
	tests := []struct {
		why               string
		pod               *v1.Pod
		appArmor, seLinux bool // of the machine
		err               error
		text              string // of the error or the note
	}{
		{why: "nothing asked for", pod: of(nil, nil)},
		{why: "a profile", pod: of(&v1.PodSecurityContext{AppArmorProfile: profile}, nil), err: ErrAppArmor, text: "spec.securityContext.appArmorProfile"},
		{why: "a profile of a container", pod: of(nil, &v1.SecurityContext{AppArmorProfile: profile}), err: ErrAppArmor, text: "spec.containers[0].securityContext.appArmorProfile"},
		{why: "by annotation", pod: annotated, err: ErrAppArmor, text: "metadata.annotations[container.apparmor"},
		{why: "where there is AppArmor", pod: annotated, appArmor: true},
		{why: "Unconfined is what happens", pod: of(&v1.PodSecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeUnconfined}}, nil)},
		{why: "a type", pod: of(&v1.PodSecurityContext{SELinuxOptions: &v1.SELinuxOptions{Type: "container_t"}}, nil), err: ErrSELinux, text: "spec.securityContext.seLinuxOptions"},
		{why: "a category", pod: of(nil, &v1.SecurityContext{SELinuxOptions: &v1.SELinuxOptions{Level: "s0:c1,c2"}}), err: ErrSELinux, text: "spec.containers[0].securityContext.seLinuxOptions"},
		{why: "where there is SELinux", pod: of(&v1.PodSecurityContext{SELinuxOptions: &v1.SELinuxOptions{Type: "container_t"}}, nil), seLinux: true},
		{why: "the level of everything", pod: of(&v1.PodSecurityContext{SELinuxOptions: &v1.SELinuxOptions{Level: "s0"}}, nil), text: "s0 is the level of everything"},
		{why: "nothing of it", pod: of(&v1.PodSecurityContext{SELinuxOptions: &v1.SELinuxOptions{}}, nil)},
	}
	for _, test := range tests {
		notes, err := checkModules(test.pod, func() bool { return test.appArmor }, func() bool { return test.seLinux })
		said := strings.Join(notes, "")
		if err != nil {
			said = err.Error()
		}
		if !errors.Is(err, test.err) || test.err == nil && err != nil || !strings.Contains(said, test.text) || test.text == "" && said != "" {
			t.Errorf("%s: got %v and %q, want %v with %q", test.why, err, notes, test.err, test.text)
		}
	}
}

func TestLabelOptions(t *testing.T) {
	got := strings.Join(labelOptions(&v1.SELinuxOptions{Type: "container_t", Level: "s0:c1,c2"}), " ")
	if want := "type:container_t level:s0:c1,c2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
