package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

func TestCleanPath(t *testing.T) {
	tests := []struct {
		path    string
		want    string
		wantErr string
	}{
		{"key", "key", ""},
		{"a/b/c", "a/b/c", ""},
		{"./a//b/", "a/b", ""},
		{"a/..b", "a/..b", ""},
		{"...", "", "must not start with '..'"},
		{"", "", "must not be empty"},
		{"/etc/passwd", "", "must be relative path: /etc/passwd"},
		{"..", "", "must not contain '..'"},
		{"a/../../b", "", "must not contain '..'"},
		{"..data", "", "must not start with '..': ..data"},         // the volume's own link
		{"./..data/key", "", "must not start with '..': ./..data"}, // the same, which a kubelet overlooks
		{".", "", "must name a file"},
		{"a\x00b", "", "must not contain a NUL character"},
		{strings.Repeat("n", 256), "", "filenames must be less than or equal to 255 characters"},
		{strings.Repeat("n/", 2049), "", "must be less than or equal to 4096 characters"},
	}
	for _, test := range tests {
		got, err := cleanPath(test.path)
		checkError(t, err, test.wantErr)
		if got != test.want {
			t.Errorf("%.20q: got %q, want %q", test.path, got, test.want)
		}
	}
}

func FuzzCleanPath(f *testing.F) {
	for _, seed := range []string{"key", "a/b", "./..data", "a/../b", "//", "a\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		clean, err := cleanPath(name)
		if err != nil {
			return
		}
		if !filepath.IsLocal(clean) || strings.HasPrefix(clean, "..") || clean == "." {
			t.Errorf("%q became %q", name, clean)
		}
		if again, err := cleanPath(clean); err != nil || again != clean {
			t.Errorf("%q is not stable: got %q, %v", clean, again, err)
		}
	})
}

func TestProjectionLayout(t *testing.T) {
	script, key := int32(0o755), int32(0o400)
	v := configMap("config",
		v1.KeyToPath{Key: "run", Path: "bin/run", Mode: &script},
		v1.KeyToPath{Key: "blob", Path: "etc/deep/blob"},
		v1.KeyToPath{Key: "run", Path: "top"})
	v.ConfigMap.DefaultMode = &key
	s := newSpec(t, v)
	s.ConfigMaps = configMaps("config", map[string]string{"run": "#!", "unnamed": "x"})
	s.ConfigMaps["config"].BinaryData = map[string][]byte{"blob": {0, 255}}
	must(Mount(s))(t)
	dir := filepath.Join(s.Dir, "config")
	for name, want := range map[string]string{"bin": "..data/bin", "etc": "..data/etc", "top": "..data/top"} {
		if got := must(os.Readlink(filepath.Join(dir, name)))(t); got != want {
			t.Errorf("%s: got a link to %q, want %q", name, got, want)
		}
	}
	generation := must(os.Readlink(filepath.Join(dir, dataLink)))(t)
	if ok := regexp.MustCompile(`^\.\.\d{4}(_\d\d){5}\.\d{9}$`).MatchString(generation); !ok {
		t.Errorf("got generation %q, want the kubelet's form", generation)
	}
	if got, want := names(t, dir), []string{generation, dataLink, "bin", "etc", "top"}; !slices.Equal(got, want) {
		t.Errorf("got entries %q, want %q", got, want)
	}
	for name, want := range map[string]os.FileMode{"bin/run": 0o755, "etc/deep/blob": 0o400, "top": 0o400} {
		if got := modeOf(t, filepath.Join(dir, name)); got != want {
			t.Errorf("%s: got mode %v, want %v", name, got, want)
		}
	}
	if got, want := read(t, dir+"/etc/deep/blob"), "\x00\xff"; got != want {
		t.Errorf("binaryData: got %q, want %q", got, want)
	}
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	var list []string
	for _, entry := range must(os.ReadDir(dir))(t) {
		list = append(list, entry.Name())
	}
	return list
}

func TestOptionalKeysAreLeftOut(t *testing.T) {
	yes := true
	v := secret("keys", v1.KeyToPath{Key: "absent", Path: "absent"}, v1.KeyToPath{Key: "there", Path: "there"})
	v.Secret.Optional = &yes
	s := Spec{Secrets: map[string]*v1.Secret{"keys": {Data: map[string][]byte{"there": nil}}}}
	p := s.payload(&v)
	if _, ok := p.files["there"]; !ok || len(p.files) != 1 || p.failed != nil {
		t.Errorf("got %v and %v, want the file there alone", p.files, p.failed)
	}
}

// TestRefreshIsWhole reads two files through ..data while they change together.
func TestRefreshIsWhole(t *testing.T) {
	s := newSpec(t, configMap("config"))
	data := func(n int) map[string]*v1.ConfigMap {
		text := strings.Repeat(fmt.Sprint(n%10), 10000)
		return configMaps("config", map[string]string{"a": text, "b": text, fmt.Sprint("only", n): ""})
	}
	s.ConfigMaps = data(0)
	set := must(Mount(s))(t)
	dir := filepath.Join(s.Dir, "config")
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			generation, err := os.OpenRoot(filepath.Join(dir, dataLink))
			if errors.Is(err, fs.ErrNotExist) {
				continue // the generation went between the look at the link and the open
			}
			if err != nil {
				done <- err
				return
			}
			a, errA := generation.ReadFile("a")
			b, errB := generation.ReadFile("b")
			generation.Close()
			if errA == nil && errB == nil && string(a) != string(b) {
				done <- fmt.Errorf("got %.1s and %.1s at once", a, b)
				return
			}
		}
	}()
	for n := range 200 {
		ok(t, set.Refresh(s.Pod, data(n), nil))
	}
	close(stop)
	ok(t, <-done)
	if got, want := names(t, dir)[1:], []string{dataLink, "a", "b", "only199"}; !slices.Equal(got, want) {
		t.Errorf("got entries %q, want %q", got, want)
	}
}

func TestWrittenAnewOnlyIfChanged(t *testing.T) {
	script := int32(0o755)
	tests := []struct {
		name    string
		change  func(*Spec)
		rewrite bool
	}{
		{"nothing", func(*Spec) {}, false},
		{"text of one length", func(s *Spec) { s.ConfigMaps["config"].Data["key"] = "TEXT" }, true},
		{"further key", func(s *Spec) { s.ConfigMaps["config"].Data["more"] = "" }, true},
		{"mode", func(s *Spec) { s.Pod.Spec.Volumes[0].ConfigMap.DefaultMode = &script }, true},
		{"dropped key", func(s *Spec) { delete(s.ConfigMaps["config"].Data, "other") }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSpec(t, configMap("config"))
			s.ConfigMaps = configMaps("config", map[string]string{"key": "text", "other": ""})
			must(Mount(s))(t)
			link := filepath.Join(s.Dir, "config", dataLink)
			before := must(os.Readlink(link))(t)
			test.change(&s)
			must(Mount(s))(t)
			if got := must(os.Readlink(link))(t) != before; got != test.rewrite {
				t.Errorf("data was written anew: got %v, want %v", got, test.rewrite)
			}
			var visible []string
			for key := range s.ConfigMaps["config"].Data {
				visible = append(visible, key)
			}
			slices.Sort(visible)
			if got := names(t, filepath.Dir(link))[2:]; !slices.Equal(got, visible) {
				t.Errorf("got keys %q, want %q", got, visible)
			}
		})
	}
}

func TestRefreshKeepsDataThatCannotChange(t *testing.T) {
	s := newSpec(t, configMap("config", v1.KeyToPath{Key: "key", Path: "key"}))
	s.ConfigMaps = configMaps("config", map[string]string{"key": "text"})
	set := must(Mount(s))(t)
	err := set.Refresh(s.Pod, configMaps("config", nil), nil)
	checkError(t, err, `refresh volume "config": configmap references non-existent config key: key`)
	if got := read(t, s.Dir+"/config/key"); got != "text" {
		t.Errorf("got %q, want the old text", got)
	}
}

// TestMountCompletes puts the volume into each state that a kill can leave.
func TestMountCompletes(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, dir string)
	}{
		{"directory without its mode", func(t *testing.T, dir string) {
			ok(t, os.RemoveAll(dir))
			ok(t, os.Mkdir(filepath.Join(filepath.Dir(dir), ".config.new"), 0o700))
		}},
		{"empty directory", func(t *testing.T, dir string) {
			ok(t, os.RemoveAll(dir))
			ok(t, os.Mkdir(dir, 0o777))
		}},
		{"half a generation", func(t *testing.T, dir string) {
			ok(t, os.Mkdir(dir+"/..2026_01_02_15_04_05.000000001", 0o755))
			write(t, dir+"/..2026_01_02_15_04_05.000000001/key", "te")
		}},
		{"generation without ..data", func(t *testing.T, dir string) { ok(t, os.Remove(dir+"/..data")) }},
		{"new link not yet renamed", func(t *testing.T, dir string) {
			ok(t, os.Remove(dir+"/..data"))
			ok(t, os.Symlink("..2026_01_02_15_04_05.000000001", dir+"/..data_tmp"))
		}},
		{"no link of the key", func(t *testing.T, dir string) { ok(t, os.Remove(dir+"/key")) }},
		{"link of a dropped key", func(t *testing.T, dir string) { ok(t, os.Symlink("..data/old", dir+"/old")) }},
		{"..data leads out", func(t *testing.T, dir string) { // a privileged container's work
			ok(t, os.Remove(dir+"/..data"))
			ok(t, os.Symlink("/etc", dir+"/..data"))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSpec(t, configMap("config"))
			s.ConfigMaps = configMaps("config", map[string]string{"key": "text"})
			must(Mount(s))(t)
			dir := filepath.Join(s.Dir, "config")
			test.spoil(t, dir)
			must(Mount(s))(t)
			if got := read(t, dir+"/key"); got != "text" {
				t.Errorf("got %q, want %q", got, "text")
			}
			if got := names(t, dir); len(got) != 3 {
				t.Errorf("got entries %q, want one generation, %s and key", got, dataLink)
			}
			if got, want := names(t, s.Dir), []string{"config"}; !slices.Equal(got, want) {
				t.Errorf("got volumes %q, want %q", got, want)
			}
		})
	}
}
