package state

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestOpen(t *testing.T) {
	s := newStore(t)
	for _, dir := range []string{s.Root, s.RunRoot} {
		info, err := os.Stat(dir)
		must(t, err)
		if got, want := info.Mode(), 0o700|os.ModeDir; got != want {
			t.Errorf("%s: got mode %v, want %v", dir, got, want)
		}
	}
	again, err := Open(s.Config)
	must(t, err)
	if again.Instance != s.Instance || len(s.Instance) != 8 {
		t.Errorf("one root has instances %q and %q", s.Instance, again.Instance)
	}
	if other := newStore(t); other.Instance == s.Instance {
		t.Errorf("two roots have one instance, %q", s.Instance)
	}
	if got, want := names(t, s.RunRoot), []string{"boot-id", "boot-id.lock"}; !reflect.DeepEqual(got, want) {
		t.Errorf("run root: got %v, want %v", got, want)
	}
}

func TestOpenMakesPathsAbsolute(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	s, err := Open(Config{Root: "root", RunRoot: "./run", LogDir: "a/../log"})
	must(t, err)
	want := Config{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "log")}
	if s.Config != want {
		t.Errorf("got %+v, want %+v", s.Config, want)
	}
	for got, want := range map[string]string{
		s.PodDir("u"): "root/pods/u", s.RunDir("u"): "run/pods/u", s.ImageDir(): "root/images",
		s.ClaimDir("ns"): "root/volumes/ns", s.AddressDir(): "run/addresses",
	} {
		if want := filepath.Join(dir, want); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestOpenAfterAnotherBoot(t *testing.T) {
	tests := []struct {
		why, seen string
		stays     bool
	}{
		{"the same boot", "this", true},
		{"another boot", "8c28a3ef-0000-4000-8000-000000000000\n", false},
		{"the file was cut short", "", false},
	}
	for _, test := range tests {
		s := newStore(t)
		for _, dir := range []string{s.RunDir("1"), s.AddressDir(), filepath.Join(s.RunRoot, "users-own")} {
			must(t, os.MkdirAll(dir, 0o700))
		}
		must(t, s.Claim("ns", "web", "1"))
		if test.seen != "this" {
			must(t, os.WriteFile(filepath.Join(s.RunRoot, "boot-id"), []byte(test.seen), 0o600))
		}
		_, err := Open(s.Config)
		must(t, err)
		want := []string{"boot-id", "boot-id.lock", "users-own"} // --run-root may be a directory of the user's
		if test.stays {
			want = []string{"addresses", "boot-id", "boot-id.lock", "pods", "users-own"}
		}
		if got := names(t, s.RunRoot); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", test.why, got, want)
		}
		if got, err := s.Lookup("ns", "web"); got != "1" {
			t.Errorf("%s: the claim of a name is lost: %v", test.why, err)
		}
		boot, err := os.ReadFile(bootIDPath)
		must(t, err)
		seen, err := os.ReadFile(filepath.Join(s.RunRoot, "boot-id"))
		must(t, err)
		if string(seen) != string(boot) {
			t.Errorf("%s: got boot id %q, want %q", test.why, seen, boot)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	tests := []struct {
		why, want string
		config    Config
	}{
		{"the root is a file", "mkdir " + file, Config{Root: file, RunRoot: dir, LogDir: dir}},
		{"the run root is below a file", "mkdir " + file, Config{Root: dir, RunRoot: filepath.Join(file, "run"), LogDir: dir}},
		{"the run root cannot be written", "prepare /proc: ", Config{Root: dir, RunRoot: "/proc", LogDir: dir}},
		{"a variable is set and empty", "a directory of podrun's has no name", Config{Root: dir, LogDir: dir}},
	}
	for _, test := range tests {
		if _, err := Open(test.config); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.why, err, test.want)
		}
	}
}

// One directory is one instance, by whatever way it is named.
func TestOpenThroughLink(t *testing.T) {
	s := newStore(t)
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(filepath.Dir(s.Root), link))
	linked, err := Open(Config{Root: filepath.Join(link, "root"), RunRoot: filepath.Join(link, "run"), LogDir: s.LogDir})
	must(t, err)
	if *linked != *s {
		t.Errorf("got %+v, want %+v", *linked, *s)
	}
}
