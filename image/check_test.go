package image

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// harm changes one file.
type harm struct {
	name string
	do   func(path string) error
}

// harms are what can happen to any file of the store.
var harms = []harm{
	{"truncated", func(path string) error { return os.Truncate(path, 20) }},
	{"emptied", func(path string) error { return os.Truncate(path, 0) }},
	{"removed", os.RemoveAll},
	{"a bit flipped", flip},
}

// flip changes one bit in the middle and leaves size and time.
func flip(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 1
	return errors.Join(os.WriteFile(path, data, 0), os.Chtimes(path, time.Time{}, info.ModTime()))
}

// treeHarms are what can happen in a layer besides.
var treeHarms = []struct {
	harm
	want string
}{
	{harm{"a file", func(dir string) error { return flip(filepath.Join(dir, "etc/conf")) }}, "hard has changed: its content"},
	{harm{"a file truncated", func(dir string) error { return os.Truncate(filepath.Join(dir, "etc/conf"), 1) }}, "etc/conf has changed: its size is 1, and was 9"},
	{harm{"a file removed", func(dir string) error { return os.Remove(filepath.Join(dir, "etc/conf")) }}, "etc/conf is missing"},
	{harm{"a file added", func(dir string) error { return os.WriteFile(filepath.Join(dir, "new"), nil, 0o644) }}, "new was added"},
	{harm{"the mode", func(dir string) error { return os.Chmod(filepath.Join(dir, "etc/conf"), 0o755) }}, "etc/conf has changed: its mode is 0755, and was 0644"},
	{harm{"the owner", func(dir string) error { return os.Chown(filepath.Join(dir, "etc/conf"), 7, 8) }}, "etc/conf has changed: its owner is 7:8, and was 0:0"},
	{harm{"an attribute", func(dir string) error {
		return unix.Setxattr(filepath.Join(dir, "etc/conf"), "user.x", []byte("y"), 0)
	}}, "its attributes"},
	{harm{"a link", func(dir string) error {
		return errors.Join(os.Remove(filepath.Join(dir, "link")), os.Symlink("/etc/shadow", filepath.Join(dir, "link")))
	}}, `link has changed: its link is "/etc/shadow", and was `},
	{harm{"a device", func(dir string) error {
		return errors.Join(os.Remove(filepath.Join(dir, "null")), unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 1))))
	}}, "null has changed: its "},
	{harm{"a hard link", func(dir string) error {
		return errors.Join(os.Remove(filepath.Join(dir, "hard")), os.Link(filepath.Join(dir, "null"), filepath.Join(dir, "hard")))
	}}, ""},
	{harm{"all of it", os.RemoveAll}, "it is missing"},
}

var checkedFiles = []file{
	{name: "etc/"}, {name: "etc/conf", body: "a setting"}, {name: "link", kind: '2', body: "/etc/conf"}, {name: "hard", kind: '1', body: "etc/conf"},
	{name: "null", kind: '3', mode: 0o666}, {name: "fifo", kind: '6'}, {name: "set", mode: 0o6755, uid: 1000},
	{name: "ping", pax: map[string]string{xattrRecord + "user.note": "n"}},
}

// checked is a store with an image that was pulled and one that was imported.
func checked(t *testing.T, host string) (s *Store, pulled, imported *Image) {
	t.Helper()
	s = newStore(t)
	pulled = pull(t, s, host+"/checked:1", PullOptions{})
	return s, pulled, importImage(t, s, "own:1", nil, file{name: "etc/"}, file{name: "etc/conf", body: "a setting"}, file{name: "link", kind: '2', body: "x"}, file{name: "null", kind: '3'}, file{name: "hard", kind: '1', body: "etc/conf"})
}

func problems(r *Report) string {
	var lines []string
	for _, p := range r.Problems {
		lines = append(lines, p.What+" | "+p.Done+" | "+p.Left)
	}
	return strings.Join(lines, "\n")
}

// wantMended repairs the store: both images are as before, or gone.
func wantMended(t *testing.T, s *Store, refs ...string) {
	t.Helper()
	r, err := s.Check(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Whole() {
		t.Errorf("check finds nothing")
	}
	if r, err = s.Repair(t.Context(), nil, PullOptions{}); err != nil || !r.Whole() {
		t.Fatalf("repair: %v\n%s", err, problems(r))
	}
	if r, err = s.Check(t.Context(), nil); err != nil || len(r.Problems) > 0 {
		t.Errorf("after the repair: %v\n%s", err, problems(r))
	}
	for _, ref := range refs {
		img, err := s.Get(ref)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		wantFile(t, filepath.Join(mountImage(t, img), "etc/conf"), "a setting")
	}
	if _, _, err := s.Prune(t.Context(), false, noUsers); err != nil {
		t.Errorf("prune: %v", err)
	}
	wantNoOrphans(t, s)
	wantTidy(t, s)
}

func noUsers() (map[string]string, error) { return nil, nil }

// wantNoOrphans checks that every layer and blob belongs to an image.
func wantNoOrphans(t *testing.T, s *Store) {
	t.Helper()
	records, damaged, err := s.records()
	if err := errors.Join(append(damaged, err)...); err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, img := range records {
		parts = append(parts, partsOf(img)...)
	}
	for _, dir := range []string{"layers", "blobs/sha256"} {
		entries, err := os.ReadDir(s.path(dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !slices.Contains(parts, layerOfEntry(e.Name())) {
				t.Errorf("%s/%s belongs to no image", dir, e.Name())
			}
		}
	}
}

// checkedRegistry has an image of two layers, of which the upper one implies a
// directory and hides a file.
func checkedRegistry(t *testing.T) string {
	t.Helper()
	host := serve(t, handler())
	push(t, host+"/checked:1", imageOf(t, here(), layerOf(t, checkedFiles), layerOf(t, []file{{name: "etc/more", body: "more"}, {name: ".wh.set"}})))
	return host
}

// TestCheckWhole: what was just pulled, imported, or moved with its times is whole.
func TestCheckWhole(t *testing.T) {
	s, _, _ := checked(t, checkedRegistry(t))
	r, err := s.Check(t.Context(), nil)
	if err != nil || len(r.Problems) > 0 || r.Images != 2 || r.Layers != 3 || r.Blobs != 4 {
		t.Errorf("check = %+v, %v\n%s; want 2 images, 3 layers, 4 blobs, all whole", r, err, problems(r))
	}
}

// TestCheckFiles harms each file of the store in each way.
func TestCheckFiles(t *testing.T) {
	host := checkedRegistry(t)
	base := host + "/checked:1"
	digits := func(id string) string { return "blobs/sha256/" + strings.TrimPrefix(id, "sha256:") }
	for _, of := range []string{"pulled", "imported"} {
		for _, h := range harms {
			for _, kind := range []string{"config", "manifest", "info", "inventory", "reference", "id"} {
				t.Run(of+"/"+kind+"/"+h.name, func(t *testing.T) {
					s, pulled, imported := checked(t, host)
					img := map[string]*Image{"pulled": pulled, "imported": imported}[of]
					layer := "layers/" + filepath.Base(img.Layers[0])
					path := s.path(map[string]string{
						"config": digits(img.ID), "manifest": digits(img.Manifest), "info": layer + infoSuffix, "inventory": layer + inventorySuffix,
						"reference": "references/" + recordName(img.Reference), "id": "references/" + idRecordName(img.ID),
					}[kind])
					if err := h.do(path); err != nil {
						t.Fatal(err)
					}
					if kind == "reference" && h.name == "removed" {
						return // nobody can know of it: the image has lost its name
					}
					if kind == "reference" || kind == "id" && h.name != "removed" {
						if _, err := s.Get(strings.TrimSuffix(nameOfRecord(filepath.Base(path)), ".json")); err == nil || !strings.Contains(err.Error(), "podrun image check") {
							t.Errorf("Get = %v, want it to name the check", err)
						}
					}
					wantMended(t, s, base, "own:1")
					if _, err := s.Get(img.Reference); (err == nil) != (kind != "reference" && (of == "pulled" || kind == "id")) {
						t.Errorf("Get after the repair = %v", err)
					}
					if got, err := s.Get(img.Reference); err == nil && (got.ID != img.ID || got.Digest != img.Digest) {
						t.Errorf("the image is %s now, and was %s", got.ID, img.ID)
					}
				})
			}
		}
	}
}

// TestCheckLayers changes something in an unpacked layer.
func TestCheckLayers(t *testing.T) {
	host := checkedRegistry(t)
	for _, of := range []string{"pulled", "imported"} {
		for _, h := range treeHarms {
			t.Run(of+"/"+h.name, func(t *testing.T) {
				s, pulled, imported := checked(t, host)
				img := map[string]*Image{"pulled": pulled, "imported": imported}[of]
				if err := h.do(img.Layers[0]); err != nil {
					t.Fatal(err)
				}
				r, err := s.Check(t.Context(), nil)
				if err != nil || len(r.Problems) != 1 || !strings.Contains(r.Problems[0].What, h.want) || !slices.Contains(r.Problems[0].Images, img.Reference) {
					t.Fatalf("check: %v\n%s\nwant %q, of %s", err, problems(r), h.want, img.Reference)
				}
				wantMended(t, s, img.Reference)
				if _, err := s.Get(img.Reference); (err == nil) != (of == "pulled") {
					t.Errorf("Get after the repair = %v", err)
				}
			})
		}
	}
}

// TestRepairOfUsedLayer: a layer that a pod has mounted is left alone, and repaired
// when the pod is down; one that is gone is made again.
func TestRepairOfUsedLayer(t *testing.T) {
	s, img, _ := checked(t, checkedRegistry(t))
	users := func() (map[string]string, error) { return map[string]string{img.ID: "default/web"}, nil }
	conf := filepath.Join(img.Layers[0], "etc/conf")
	if err := flip(conf); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(img.Layers[1]); err != nil {
		t.Fatal(err)
	}
	damaged, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	var before, after unix.Stat_t
	if err := unix.Stat(img.Layers[0], &before); err != nil {
		t.Fatal(err)
	}
	r, err := s.Repair(t.Context(), users, PullOptions{})
	if err != nil || len(r.Problems) != 2 || r.Whole() {
		t.Fatalf("repair: %v\n%s; want two problems, one left", err, problems(r))
	}
	for _, p := range r.Problems {
		if p.name == filepath.Base(img.Layers[0]) && !strings.Contains(p.Left, "pod default/web uses it") || p.name == filepath.Base(img.Layers[1]) && p.Done == "" {
			t.Errorf("%+v", p)
		}
	}
	if err := unix.Stat(img.Layers[0], &after); err != nil || before.Ino != after.Ino {
		t.Errorf("the layer in use is another directory: %v", err)
	}
	wantFile(t, conf, string(damaged))
	wantMended(t, s, img.Reference)
	wantFile(t, conf, "a setting")
}

// TestRepairWithoutRegistry: what cannot be had now is kept; what its registry does
// not have any more is removed.
func TestRepairWithoutRegistry(t *testing.T) {
	up := handler()
	server := &metered{Handler: up}
	host := serve(t, server)
	push(t, host+"/checked:1", imageOf(t, here(), layerOf(t, checkedFiles)))
	s, img, _ := checked(t, host)
	if err := flip(filepath.Join(img.Layers[0], "etc/conf")); err != nil {
		t.Fatal(err)
	}
	server.Handler = answering(403)
	r, err := s.Repair(t.Context(), noUsers, PullOptions{})
	if err != nil || r.Whole() || !strings.Contains(r.Problems[0].Left, "docker login") {
		t.Fatalf("repair: %v\n%s; want it left, and what the registry said", err, problems(r))
	}
	if _, err := s.Get(img.Reference); err != nil {
		t.Errorf("the image is gone: %v", err)
	}
	server.Handler = handler() // an empty one
	r, err = s.Repair(t.Context(), noUsers, PullOptions{})
	if err != nil || !r.Whole() || !strings.Contains(r.Problems[0].Done, "removed "+img.Reference) {
		t.Fatalf("repair: %v\n%s; want it removed", err, problems(r))
	}
	if _, err := s.Get(img.Reference); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get = %v, want it gone", err)
	}
}

// answering is a registry that refuses everything.
func answering(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			w.WriteHeader(status)
		}
	})
}

// TestRepairBesideUp: a pod that comes up after the check has read the store keeps
// what it has mounted, whether its image can be had again or not.
func TestRepairBesideUp(t *testing.T) {
	up := handler()
	server := &metered{Handler: up}
	host := serve(t, server)
	push(t, host+"/checked:1", imageOf(t, here(), layerOf(t, checkedFiles)))
	for what, h := range map[string]http.Handler{"pulled again": up, "removed": handler()} {
		s, img, _ := checked(t, host)
		conf := filepath.Join(img.Layers[0], "etc/conf")
		if err := flip(conf); err != nil {
			t.Fatal(err)
		}
		damaged, err := os.ReadFile(conf)
		if err != nil {
			t.Fatal(err)
		}
		server.Handler = h
		asked := 0
		r, err := s.Repair(t.Context(), func() (map[string]string, error) {
			if asked++; asked == 1 {
				return nil, nil
			}
			return map[string]string{img.ID: "default/web"}, nil
		}, PullOptions{})
		if err != nil || len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Left, "pod default/web uses it: take the pod down") {
			t.Errorf("not %s: %v\n%s", what, err, problems(r))
		}
		wantFile(t, conf, string(damaged))
		if _, err := s.Get(img.Reference); err != nil {
			t.Errorf("not %s: %v", what, err)
		}
		server.Handler = up
		wantMended(t, s, img.Reference)
		wantFile(t, conf, "a setting")
	}
}
