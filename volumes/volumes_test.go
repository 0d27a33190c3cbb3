package volumes

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"podrun/fence"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestMountEveryKindTwice(t *testing.T) {
	host := t.TempDir()
	s := newSpec(t, emptyDir("disk"), memory("memory"), configMap("config"), secret("secret"),
		claim("claim"), onHost(host, v1.HostPathUnset))
	limit := resource.MustParse("1Mi")
	s.Pod.Spec.Volumes[1].EmptyDir.SizeLimit = &limit
	s.ConfigMaps = configMaps("config", map[string]string{"key": "text"})
	s.Secrets = map[string]*v1.Secret{"secret": {Data: map[string][]byte{"key": []byte("hidden")}}}
	inPod(t, func() {
		must(Mount(s))(t)
		write(t, s.Dir+"/disk/kept", "1")
		write(t, s.Dir+"/memory/kept", "2")
		write(t, s.Claims+"/claim/data/kept", "3")
		ok(t, os.Chmod(s.Dir+"/disk", 0o700)) // as PostgreSQL does to its data directory
		mounts := fence.Mounts(s.Dir)
		want := []string{s.Dir + "/memory", s.Dir + "/secret"}
		if !slices.Equal(mounts, want) {
			t.Errorf("got mounts %q, want %q", mounts, want)
		}
		must(Mount(s))(t) // a new monitor
		if again := fence.Mounts(s.Dir); !slices.Equal(again, mounts) {
			t.Errorf("after a second Mount: got mounts %q, want %q", again, mounts)
		}
		for path, want := range map[string]string{
			s.Dir + "/disk/kept":           "1",
			s.Dir + "/memory/kept":         "2",
			s.Claims + "/claim/data/kept":  "3",
			s.Dir + "/config/key":          "text",
			s.Dir + "/secret/key":          "hidden",
			s.Dir + "/secret/..data/key":   "hidden",
			s.Dir + "/config/./..data/key": "text",
		} {
			if got := read(t, path); got != want {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
		}
		for path, want := range map[string]os.FileMode{
			s.Dir:                     os.ModeDir | 0o700,
			s.Dir + "/disk":           os.ModeDir | 0o700,
			s.Dir + "/memory":         os.ModeDir | os.ModeSticky | 0o777,
			s.Dir + "/config":         os.ModeDir | 0o777,
			s.Claims + "/claim":       os.ModeDir | 0o700,
			s.Claims + "/claim/data":  os.ModeDir | 0o777,
			s.Dir + "/config/..data/": os.ModeDir | 0o755,
			s.Dir + "/secret/key":     0o644,
		} {
			if got := modeOf(t, path); got != want {
				t.Errorf("%s: got mode %v, want %v", path, got, want)
			}
		}
		var stat unix.Statfs_t
		ok(t, unix.Statfs(s.Dir+"/memory", &stat))
		if got, want := int64(stat.Blocks)*stat.Bsize, int64(1<<20); got != want {
			t.Errorf("size of the tmpfs: got %d, want %d", got, want)
		}
	})
	if got := fence.Mounts(s.Dir); len(got) > 0 {
		t.Errorf("mounts outside of the pod: %q", got)
	}
	ok(t, Remove(s.Dir))
	if got := read(t, s.Claims+"/claim/data/kept"); got != "3" {
		t.Errorf("the claim after the pod: got %q, want %q", got, "3")
	}
}

func TestVolumeModesIgnoreTheUmask(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	s := newSpec(t, emptyDir("disk"), configMap("config", v1.KeyToPath{Key: "key", Path: "a/b"}))
	s.ConfigMaps = configMaps("config", map[string]string{"key": "text"})
	set := must(Mount(s))(t)
	c := v1.Container{VolumeMounts: []v1.VolumeMount{{Name: "disk", MountPath: "/disk", SubPath: "x/y"}}}
	must(set.Binds(&c, "c-0"))(t)
	defer set.Release("c-0")
	for path, want := range map[string]os.FileMode{
		"disk":            0o777,
		"disk/x":          0o777, // the mode of the volume's root
		"disk/x/y":        0o777,
		"config":          0o777,
		"config/..data":   0o755,
		"config/..data/a": 0o755,
		"config/a/b":      0o644,
	} {
		if got := modeOf(t, filepath.Join(s.Dir, path)).Perm(); got != want {
			t.Errorf("%s: got mode %v, want %v", path, got, want)
		}
	}
}

func TestMountNeedsNothing(t *testing.T) {
	s := newSpec(t)
	set := must(Mount(s))(t)
	binds := must(set.Binds(&s.Pod.Spec.Containers[0], "c-0"))(t)
	if len(binds) > 0 {
		t.Errorf("got binds %v of a pod without volumes", binds)
	}
	if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("a pod without volumes made a directory: %v", err)
	}
}

func TestMountIgnoresUnusedVolumes(t *testing.T) {
	s := newSpec(t, onHost("/does/not/exist", v1.HostPathDirectory), secret("absent"))
	s.Pod.Spec.Containers[0].VolumeMounts = nil
	must(Mount(s))(t)
}

func TestMountErrors(t *testing.T) {
	yes := true
	optional := configMap("maybe", v1.KeyToPath{Key: "absent", Path: "x"})
	optional.ConfigMap.Optional = &yes
	huge := memory("data")
	huge.EmptyDir.Medium = v1.StorageMediumHugePages
	tests := []struct {
		name    string
		volume  v1.Volume
		wantErr string // "" for none
	}{
		{"kind of a network", source(v1.VolumeSource{NFS: &v1.NFSVolumeSource{}}, "data"),
			`mount volume "data": its kind is not supported`},
		{"object not given", configMap("absent"), `mount volume "absent": configmap "absent" not found: give its manifest`},
		{"secret not given", secret("absent"), `mount volume "absent": secret "absent" not found: give its manifest`},
		{"key not there", configMap("config", v1.KeyToPath{Key: "b", Path: "b"}),
			`mount volume "config": configmap references non-existent config key: b`},
		{"secret's key not there", secret("secret", v1.KeyToPath{Key: "b", Path: "b"}),
			`mount volume "secret": references non-existent secret key: b`},
		{"file below a file", configMap("config", v1.KeyToPath{Key: "a", Path: "x"}, v1.KeyToPath{Key: "a", Path: "x/y"}),
			`mount volume "config": write the volume's data: `},
		{"neither object nor key, but optional", optional, ""},
		{"leads out", source(v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}, ".."),
			`mount volume "..": volume ".." cannot be the name of a directory`},
		{"hidden names are podrun's", claim(".hidden"), `claim ".hidden" cannot be the name`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSpec(t, test.volume)
			s.ConfigMaps = configMaps("config", map[string]string{"a": "1"})
			s.Secrets = map[string]*v1.Secret{"secret": {}}
			inPod(t, func() {
				_, err := Mount(s)
				checkError(t, err, test.wantErr)
			})
		})
	}
}

func TestMountTellsOfEveryVolume(t *testing.T) {
	s := newSpec(t, secret("one"), emptyDir("good"), configMap("two"))
	_, err := Mount(s)
	checkError(t, err, `mount volume "one"`)
	checkError(t, err, `mount volume "two"`)
}

func TestForeignMountIsNotTaken(t *testing.T) {
	s := newSpec(t, memory("data"))
	inPod(t, func() {
		path := filepath.Join(s.Dir, "data")
		ok(t, os.MkdirAll(path, 0o755))
		ok(t, unix.Mount("/proc", path, "", unix.MS_BIND, ""))
		_, err := Mount(s)
		checkError(t, err, `mount volume "data": another file system than tmpfs is mounted on `+path)
	})
}

func TestMemorySize(t *testing.T) {
	quantity := func(text string) *resource.Quantity {
		if text == "" {
			return nil
		}
		q := resource.MustParse(text)
		return &q
	}
	const machine = 1 << 30
	tests := []struct {
		name      string
		memory    int64 // the pod's limit
		sizeLimit string
		want      int64
	}{
		{"nothing set", 0, "", machine},
		{"sizeLimit", 0, "64Mi", 64 << 20},
		{"sizeLimit above the machine's memory", 0, "2Gi", machine},
		{"sizeLimit of zero means none", 0, "0", machine},
		{"pod limit", 30 << 20, "", 30 << 20},
		{"pod limit above the machine's memory", 2 << 30, "", machine},
		{"pod limit below sizeLimit", 10 << 20, "64Mi", 10 << 20},
		{"sizeLimit below pod limit", 64 << 20, "10Mi", 10 << 20},
	}
	for _, test := range tests {
		if got := memorySize(machine, test.memory, quantity(test.sizeLimit)); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

func TestShm(t *testing.T) {
	s := newSpec(t)
	pod := filepath.Dir(s.Dir)
	inPod(t, func() {
		path := must(Shm(pod, 0, 0))(t)
		write(t, path+"/kept", "x")
		if again := must(Shm(pod, 0, 0))(t); again != path || read(t, path+"/kept") != "x" {
			t.Errorf("a second Shm: got %s, want %s with its contents", again, path)
		}
		if got := fence.Mounts(pod); !slices.Equal(got, []string{path}) {
			t.Errorf("got mounts %q, want %q", got, path)
		}
		var stat unix.Statfs_t
		ok(t, unix.Statfs(path, &stat))
		if got := int64(stat.Blocks) * stat.Bsize; got != 64<<20 {
			t.Errorf("size: got %d, want 64 MiB", got)
		}
		const want = unix.ST_NOSUID | unix.ST_NODEV | unix.ST_NOEXEC
		if got := stat.Flags & want; got != want {
			t.Errorf("flags: got %#x, want %#x", got, want)
		}
		if got, want := modeOf(t, path), os.ModeDir|os.ModeSticky|0o777; got != want {
			t.Errorf("mode: got %v, want %v", got, want)
		}
	})
}
