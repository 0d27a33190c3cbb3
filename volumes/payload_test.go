package volumes

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func field(path, fieldPath string) v1.DownwardAPIVolumeFile {
	return v1.DownwardAPIVolumeFile{Path: path, FieldRef: &v1.ObjectFieldSelector{APIVersion: "v1", FieldPath: fieldPath}}
}

func amount(path, container, name, divisor string) v1.DownwardAPIVolumeFile {
	ref := &v1.ResourceFieldSelector{ContainerName: container, Resource: name, Divisor: resource.MustParse(divisor)}
	return v1.DownwardAPIVolumeFile{Path: path, ResourceFieldRef: ref}
}

func downward(name string, items ...v1.DownwardAPIVolumeFile) v1.Volume {
	return source(v1.VolumeSource{DownwardAPI: &v1.DownwardAPIVolumeSource{Items: items}}, name)
}

func together(name string, mode *int32, sources ...v1.VolumeProjection) v1.Volume {
	return source(v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: sources, DefaultMode: mode}}, name)
}

func fromConfigMap(name string, optional bool, items ...v1.KeyToPath) v1.VolumeProjection {
	return v1.VolumeProjection{ConfigMap: &v1.ConfigMapProjection{
		LocalObjectReference: v1.LocalObjectReference{Name: name}, Items: items, Optional: &optional,
	}}
}

func fromSecret(name string, optional bool, items ...v1.KeyToPath) v1.VolumeProjection {
	return v1.VolumeProjection{Secret: &v1.SecretProjection{
		LocalObjectReference: v1.LocalObjectReference{Name: name}, Items: items, Optional: &optional,
	}}
}

func fromPod(items ...v1.DownwardAPIVolumeFile) v1.VolumeProjection {
	return v1.VolumeProjection{DownwardAPI: &v1.DownwardAPIProjection{Items: items}}
}

// texts are the payload's files and what is wrong with it, to compare.
func texts(p *payload) (files map[string]string, failed string) {
	files = map[string]string{}
	for name, f := range p.files {
		files[name] = string(f.data)
	}
	var list []string
	for _, err := range p.failed {
		list = append(list, err.Error())
	}
	return files, strings.Join(list, "; ")
}

func TestDownwardPayload(t *testing.T) {
	s := Spec{
		Pod: &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{
			{Name: "c", Resources: v1.ResourceRequirements{
				Limits: v1.ResourceList{"cpu": resource.MustParse("1250m"), "hugepages-2Mi": resource.MustParse("4Mi")},
			}},
			{Name: "free"},
		}}},
		Allocatable: func() v1.ResourceList {
			return v1.ResourceList{
				"cpu": resource.MustParse("2"), "memory": resource.MustParse("4Gi"), "ephemeral-storage": resource.MustParse("10Gi"),
			}
		},
	}
	s.Pod.Name, s.Pod.Namespace, s.Pod.UID = "web", "prod", "1-2"
	s.Pod.Labels = map[string]string{"b": "2", "a": "one \"1\"\n"}
	s.Pod.Annotations = map[string]string{"x.y/Z": "note"}
	tests := []struct {
		item v1.DownwardAPIVolumeFile
		want string
	}{
		{field("f", "metadata.name"), "web"},
		{field("f", "metadata.namespace"), "prod"},
		{field("f", "metadata.uid"), "1-2"},
		{field("f", "metadata.labels"), "a=\"one \\\"1\\\"\\n\"\nb=\"2\""},
		{field("f", "metadata.labels['b']"), "2"},
		{field("f", "metadata.annotations"), `x.y/Z="note"`},
		{field("f", "metadata.annotations['x.y/Z']"), "note"},
		{field("f", "metadata.annotations['none']"), ""},
		{amount("f", "c", "limits.cpu", "1"), "2"},
		{amount("f", "c", "limits.cpu", "1m"), "1250"},
		{amount("f", "c", "limits.memory", "1Mi"), "4096"}, // the machine's
		{amount("f", "c", "requests.memory", "1"), "0"},    // of which nothing was asked for
		{amount("f", "free", "limits.cpu", "0"), "2"},
		{amount("f", "free", "limits.ephemeral-storage", "1Gi"), "10"},
		{amount("f", "c", "limits.hugepages-2Mi", "1Mi"), "4"},
		{amount("f", "free", "limits.hugepages-2Mi", "1Mi"), "0"}, // huge pages are never more than asked for
	}
	for _, test := range tests {
		v := downward("pod", test.item)
		files, failed := texts(s.payload(&v))
		if got := files["f"]; got != test.want || failed != "" {
			t.Errorf("%v %v: got %q and %q, want %q", test.item.FieldRef, test.item.ResourceFieldRef, got, failed, test.want)
		}
	}
	v := downward("pod", field("f", "spec.hostname"), amount("g", "gone", "limits.cpu", "1"), amount("h", "c", "limits.pods", "1"))
	_, failed := texts(s.payload(&v))
	want := "unsupported fieldPath: spec.hostname; container gone not found; unsupported container resource : limits.pods"
	if failed != want {
		t.Errorf("got  %s\nwant %s", failed, want)
	}
}

func TestProjectedPayload(t *testing.T) {
	narrow := int32(0o400)
	s := Spec{
		Pod:        &v1.Pod{},
		ConfigMaps: configMaps("config", map[string]string{"a": "map", "b": "map"}),
		Secrets:    map[string]*v1.Secret{"secret": {Data: map[string][]byte{"a": []byte("secret")}}},
	}
	s.Pod.Name = "web"
	tests := []struct {
		name    string
		sources []v1.VolumeProjection
		want    map[string]string
		wantErr string
	}{
		{"nothing", nil, map[string]string{}, ""},
		{"all kinds", []v1.VolumeProjection{
			fromConfigMap("config", false, v1.KeyToPath{Key: "a", Path: "deep/a"}), fromSecret("secret", false), fromPod(field("name", "metadata.name")),
		}, map[string]string{"deep/a": "map", "a": "secret", "name": "web"}, ""},
		{"the later source wins", []v1.VolumeProjection{fromConfigMap("config", false), fromSecret("secret", false)},
			map[string]string{"a": "secret", "b": "map"}, ""},
		{"the later source wins, however it writes the path", []v1.VolumeProjection{
			fromSecret("secret", false), fromPod(field("./a", "metadata.name")),
		}, map[string]string{"a": "web"}, ""},
		{"optional ones are missing", []v1.VolumeProjection{
			fromConfigMap("none", true), fromSecret("none", true), fromSecret("secret", true, v1.KeyToPath{Key: "none", Path: "none"}),
		}, map[string]string{}, ""},
		{"every source complains", []v1.VolumeProjection{fromConfigMap("none", false), fromSecret("secret", false, v1.KeyToPath{Key: "none", Path: "p"})},
			map[string]string{}, `configmap "none" not found: give its manifest together with the pod's, or mark the volume optional; references non-existent secret key: none`},
		{"a source that needs an API server", []v1.VolumeProjection{{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Path: "token"}}},
			map[string]string{}, "a source is of a kind that is not supported: use configMap, secret or downwardAPI"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := together("all", &narrow, test.sources...)
			p := s.payload(&v)
			files, failed := texts(p)
			if len(files) != len(test.want) || failed != test.wantErr {
				t.Errorf("got %q and %q, want %q and %q", files, failed, test.want, test.wantErr)
			}
			for name, want := range test.want {
				if f := p.files[name]; string(f.data) != want || f.mode != 0o400 {
					t.Errorf("%s: got %q with mode %v, want %q with 0400", name, f.data, f.mode, want)
				}
			}
		})
	}
}

// TestSecretsAreInMemory also checks that none of the data reaches the disk below the mount.
func TestSecretsAreInMemory(t *testing.T) {
	s := newSpec(t, configMap("config"), secret("secret"), downward("pod", field("name", "metadata.name")), together("all", nil, fromSecret("secret", false)))
	s.ConfigMaps = configMaps("config", map[string]string{"key": "text"})
	s.Secrets = map[string]*v1.Secret{"secret": {Data: map[string][]byte{"key": []byte("text")}}}
	inPod(t, func() {
		must(Mount(s))(t)
		for name, memory := range map[string]bool{"config": false, "secret": true, "pod": true, "all": true} {
			dir := filepath.Join(s.Dir, name)
			var stat unix.Statfs_t
			ok(t, unix.Statfs(dir, &stat))
			if got := stat.Type == unix.TMPFS_MAGIC; got != memory {
				t.Errorf("%s: is a tmpfs: %v, want %v", name, got, memory)
			}
			if len(names(t, dir)) != 3 {
				t.Errorf("%s: got %q, want a generation, its link and one file", name, names(t, dir))
			}
		}
	})
	for _, name := range []string{"secret", "pod", "all"} {
		if got := names(t, filepath.Join(s.Dir, name)); len(got) > 0 {
			t.Errorf("%s: %q on disk", name, got)
		}
	}
}

func TestRefreshFollowsThePod(t *testing.T) {
	s := newSpec(t, downward("pod", field("labels", "metadata.labels"), field("name", "metadata.name")),
		together("all", nil, fromSecret("late", true), fromPod(field("note", "metadata.annotations['note']"))), configMap("config"), emptyDir("data"))
	s.Pod.Name, s.Pod.Labels = "web", map[string]string{"a": "1"}
	s.ConfigMaps = configMaps("config", map[string]string{"key": "text"})
	inPod(t, func() {
		set := must(Mount(s))(t)
		link := func(name string) string { return must(os.Readlink(filepath.Join(s.Dir, name, dataLink)))(t) }
		pod, all, config := link("pod"), link("all"), link("config")
		ok(t, set.Refresh(s.Pod.DeepCopy(), s.ConfigMaps, nil))
		if link("pod") != pod || link("all") != all {
			t.Error("a refresh without a change wrote something")
		}
		changed := s.Pod.DeepCopy()
		changed.Labels, changed.Annotations = map[string]string{"a": "2"}, map[string]string{"note": "n"}
		ok(t, set.Refresh(changed, s.ConfigMaps, map[string]*v1.Secret{"late": {Data: map[string][]byte{"token": []byte("t")}}}))
		for file, want := range map[string]string{"pod/labels": `a="2"`, "pod/name": "web", "all/note": "n", "all/token": "t"} {
			if got := read(t, filepath.Join(s.Dir, file)); got != want {
				t.Errorf("%s: got %q, want %q", file, got, want)
			}
		}
		if link("config") != config {
			t.Error("the refresh of others wrote the config map anew")
		}
		ok(t, set.Refresh(changed, s.ConfigMaps, nil))
		if got, want := names(t, filepath.Join(s.Dir, "all"))[1:], []string{dataLink, "note"}; !slices.Equal(got, want) {
			t.Errorf("after the secret went: got %q, want %q", got, want)
		}
	})
}

// TestMountKeepsWhatItCannotMake is the pod's next monitor after an object went.
func TestMountKeepsWhatItCannotMake(t *testing.T) {
	s := newSpec(t, configMap("config"), secret("secret"))
	objects := configMaps("config", map[string]string{"key": "text"})
	s.ConfigMaps, s.Secrets = objects, map[string]*v1.Secret{"secret": {Data: map[string][]byte{"key": []byte("text")}}}
	inPod(t, func() {
		must(Mount(s))(t)
		s.ConfigMaps, s.Secrets = nil, nil
		set := must(Mount(s))(t)
		binds := must(set.Binds(&s.Pod.Spec.Containers[0], "c-0"))(t)
		for _, b := range binds {
			if got := read(t, b.Source+"/key"); got != "text" || !b.ReadOnly {
				t.Errorf("%s: got %q, read-only: %v", b.Source, got, b.ReadOnly)
			}
		}
	})
	s.ConfigMaps = objects
	_, err := Mount(s) // in a new sandbox the secret, which was in memory, is gone
	checkError(t, err, `mount volume "secret": secret "secret" not found: give its manifest`)
}
