package state

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

func TestObjects(t *testing.T) {
	s := newStore(t)
	long := strings.Repeat("n", 253) // the longest name of the API
	turn, err := s.LockObjects()
	must(t, err)
	for _, o := range []Object{
		&v1.ConfigMap{ObjectMeta: named("a", "x"), Data: map[string]string{"k": "v"}},
		&v1.ConfigMap{ObjectMeta: named("a", long)},
		&v1.ConfigMap{ObjectMeta: named("b", "x"), BinaryData: map[string][]byte{"k": {0, 255}}},
		&v1.Secret{ObjectMeta: named("a", "x"), Data: map[string][]byte{"k": []byte("s")}},
		&v1.PersistentVolumeClaim{ObjectMeta: named("a", "x")},
		&v1.ConfigMap{ObjectMeta: named("a", "x"), Data: map[string]string{"k": "w"}}, // in place of the first
	} {
		must(t, s.WriteObject(o))
	}
	must(t, turn.Close())
	var got v1.ConfigMap
	must(t, s.ReadObject("a", "x", &got))
	if want := (v1.ConfigMap{ObjectMeta: named("a", "x"), Data: map[string]string{"k": "w"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, path := range []string{"objects", "objects/a", "objects/a/secrets"} {
		info, err := os.Stat(filepath.Join(s.Root, path))
		must(t, err)
		if info.Mode() != 0o700|os.ModeDir {
			t.Errorf("%s: got mode %v", path, info.Mode())
		}
	}
	info, err := os.Stat(filepath.Join(s.Root, "objects/a/secrets/x"))
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("a secret has mode %v", info.Mode())
	}
	// What a killed writer left is no object.
	must(t, os.WriteFile(filepath.Join(s.Root, "objects/a/configmaps/.x.123"), nil, 0o600))
	for namespace, want := range map[string][]Ref{
		"":    {{Namespace: "a", Name: long}, {Namespace: "a", Name: "x"}, {Namespace: "b", Name: "x"}},
		"b":   {{Namespace: "b", Name: "x"}},
		"c":   nil,
		"../": nil,
	} {
		refs, err := s.ObjectNames(namespace, &v1.ConfigMap{})
		if err != nil || !reflect.DeepEqual(refs, want) {
			t.Errorf("namespace %q: got %v (%v), want %v", namespace, refs, err, want)
		}
	}
	must(t, s.RemoveObject("b", "x", &v1.ConfigMap{}))
	if _, err := os.Stat(filepath.Join(s.Root, "objects/b")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory of an empty namespace is left: %v", err)
	}
	must(t, s.RemoveObject("a", "x", &v1.ConfigMap{}))
	must(t, s.ReadObject("a", "x", &v1.Secret{}))
}

func TestObjectsThatAreNotThere(t *testing.T) {
	s := newStore(t)
	must(t, os.WriteFile(filepath.Join(s.Root, "x"), nil, 0o600))
	for _, ref := range []Ref{{Namespace: "a", Name: "x"}, {Namespace: "..", Name: "x"}, {Namespace: "a", Name: "../../../x"}, {Namespace: "a", Name: ".x"}, {Namespace: "", Name: "x"}, {Namespace: "a"}} {
		if err := s.ReadObject(ref.Namespace, ref.Name, &v1.Secret{}); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("read %v: got %v, want os.ErrNotExist", ref, err)
		}
		if err := s.RemoveObject(ref.Namespace, ref.Name, &v1.Secret{}); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("remove %v: got %v, want os.ErrNotExist", ref, err)
		}
	}
	if _, err := os.Stat(filepath.Join(s.Root, "x")); err != nil {
		t.Error(err)
	}
}

// Whatever a disk makes of the file, a reader returns.
func FuzzReadObject(f *testing.F) {
	s := newStore(f)
	must(f, s.WriteObject(&v1.Secret{ObjectMeta: named("a", "x"), Data: map[string][]byte{"k": []byte("v")}}))
	path := filepath.Join(s.Root, "objects/a/secrets/x")
	whole, err := os.ReadFile(path)
	must(f, err)
	for _, seed := range []string{"", "null", `{"version":9}`, `{"object":7}`, string(whole)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		must(t, os.WriteFile(path, data, 0o600))
		var o v1.Secret
		if err := s.ReadObject("a", "x", &o); err == nil && (o.Name != "x" || o.Namespace != "a") {
			t.Errorf("accepted %s/%s", o.Namespace, o.Name)
		}
	})
}

func TestReadObjectOfADamagedDisk(t *testing.T) {
	s := newStore(t)
	must(t, s.WriteObject(&v1.Secret{ObjectMeta: named("a", "other")}))
	other, err := os.ReadFile(filepath.Join(s.Root, "objects/a/secrets/other"))
	must(t, err)
	for _, test := range []struct{ why, data, err string }{
		{"cut short", `{"version":1,"obj`, "decode "},
		{"no protobuf", `{"version":1,"object":"/////w=="}`, "decode "},
		{"a newer version", `{"version":2,"object":[]}`, "use the newer podrun"},
		{"another's", string(other), "it is the object a/other"},
	} {
		must(t, os.WriteFile(filepath.Join(s.Root, "objects/a/secrets/x"), []byte(test.data), 0o600))
		if err := s.ReadObject("a", "x", &v1.Secret{}); err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got %v, want %q", test.why, err, test.err)
		}
	}
}

// What killed writers and removers have left goes with the next removal.
func TestRemoveObjectAfterAKill(t *testing.T) {
	s := newStore(t)
	dir := filepath.Join(s.Root, "objects/a/secrets")
	must(t, os.MkdirAll(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, ".x.123"), nil, 0o600))
	if err := s.RemoveObject("a", "x", &v1.Secret{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(filepath.Dir(dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directories stay: %v", err)
	}
	must(t, os.MkdirAll(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, ".x.123"), nil, 0o600))
	must(t, s.WriteObject(&v1.Secret{ObjectMeta: named("a", "y")}))
	if got, err := os.ReadDir(dir); err != nil || len(got) != 1 {
		t.Errorf("got %v, want y alone", got)
	}
}
