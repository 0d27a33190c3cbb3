package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"podrun/state"
)

// newStore has a record for each of the names, written namespace/name, and
// nobody who keeps them.
func newStore(t *testing.T, names ...string) *state.Store {
	t.Helper()
	dir := t.TempDir()
	s, err := state.Open(state.Config{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	for _, full := range names {
		namespace, name, _ := strings.Cut(full, "/")
		uid := state.NewUID()
		r := &state.Record{LogDir: s.LogDir, Subnet: "10.243.0.0/16", LinkPrefix: "pt", Pod: &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(uid)},
		}}
		if name == "db" {
			r.Pod.Spec.Volumes = []v1.Volume{{Name: "d", VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
		}
		if err := s.Claim(namespace, name, uid); err != nil {
			t.Fatal(err)
		}
		if err := s.WriteRecord(r); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestDownTargets(t *testing.T) {
	t.Chdir(inDirectory(t, map[string]string{
		"web.yaml":      aPod,
		"other.yaml":    strings.Replace(aPod, "{name: web}", "{name: web, namespace: shop}", 1),
		"pods/web.yaml": aPod,
		"claim.yaml":    aPod + "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n",
	}))
	for _, test := range []struct {
		name        string
		args        []string
		namespace   string
		all         bool
		want        string
		wantNotes   string
		wantMissing int
		wantErr     string
	}{
		{name: "a pod", args: []string{"web"}, want: "default/web"},
		{name: "as kubectl writes it", args: []string{"pod/web"}, want: "default/web"},
		{name: "of another namespace", args: []string{"web"}, namespace: "shop", want: "shop/web"},
		{name: "one that is not there", args: []string{"nosuch", "web"}, want: "default/web", wantMissing: 1},
		{name: "none that is there", args: []string{"nosuch"}, wantMissing: 1},
		{name: "with its namespace, as podrun writes it", args: []string{"pod/shop/web", "pods/web"}, want: "shop/web default/web"},
		{name: "a manifest whose pod is not there", args: []string{"web.yaml"}, namespace: "empty", wantNotes: "pod/empty/web is not there; 'podrun ps -A' lists all\n"},
		{name: "named twice", args: []string{"web", "pod/web", "web.yaml"}, want: "default/web"},
		{name: "a manifest", args: []string{"web.yaml"}, want: "default/web"},
		{name: "a manifest in a directory of that name", args: []string{"pods/web.yaml"}, want: "default/web"},
		{name: "a manifest with a namespace", args: []string{"other.yaml"}, want: "shop/web"},
		{name: "a manifest with another namespace than -n", args: []string{"other.yaml"}, namespace: "back", wantErr: "back"},
		{name: "a manifest without a namespace, and -n", args: []string{"web.yaml"}, namespace: "shop", want: "shop/web"},
		{name: "a manifest with a claim", args: []string{"claim.yaml"}, want: "default/web"},
		{name: "a directory", args: []string{"."}, wantErr: "web"}, // three times the same pod
		{name: "all", all: true, want: "default/db default/web shop/web"},
		{name: "a missing file", args: []string{"nosuch.yaml"}, wantErr: "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var notes bytes.Buffer
			o := &downOptions{ending: ending{namespace: test.namespace, all: test.all}}
			if o.namespace == "" {
				o.namespace = "default"
			}
			d := down{app: &app{Streams: Streams{Err: &notes, Out: &notes}}, options: o, store: newStore(t, "default/web", "default/db", "shop/web")}
			refs, err := d.targets(context.Background(), test.args, test.namespace != "")
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Fatalf("got %v, %v, want error %q", refs, err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, ref := range refs {
				got = append(got, ref.Namespace+"/"+ref.Name)
			}
			if strings.Join(got, " ") != test.want || notes.String() != test.wantNotes {
				t.Errorf("got %v and notes %q, want %s and %q", got, notes.String(), test.want, test.wantNotes)
			}
			if strings.Count(fmt.Sprint(d.missing), "there is no pod") != test.wantMissing {
				t.Errorf("got %v, want %d that are missing", d.missing, test.wantMissing)
			}
			if test.name == "a manifest with a claim" && !slices.Equal(d.claims, []claimRef{{"default", "data"}}) {
				t.Errorf("got claims %v, want the manifest's", d.claims)
			}
		})
	}
}

func TestRemoveClaims(t *testing.T) {
	s := newStore(t, "default/db")
	for _, name := range []string{"data", "old"} { // and none of the name "never"
		if err := os.MkdirAll(filepath.Join(claimPath(s, "default", name), "below"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	d := down{app: &app{Streams: Streams{Out: &out, Err: &out}}, options: &downOptions{volumes: true}, store: s}
	d.claims = []claimRef{{"default", "old"}, {"default", "data"}, {"default", "old"}, {"default", "never"}}
	if err := d.removeClaims(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "volume default/data stays: pod db uses it\nvolume/old removed\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := os.Stat(claimPath(s, "default", "data")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(claimPath(s, "default", "old")); !os.IsNotExist(err) {
		t.Errorf("the volume is still there: %v", err)
	}
}

// A pod that cannot be read must not hide the others.
func TestPsOfAnUnreadablePod(t *testing.T) {
	store := newStore(t, "default/good", "default/bad")
	uid, err := store.Lookup("default", "bad")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(store.PodDir(uid), "status.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &session{t: t, args: []string{"podrun", "--root", store.Root, "--run-root", store.RunRoot, "--log-dir", store.LogDir}}
	out, errs, code := s.run(nil, "ps", "-o", "name")
	if code != exitFailure || out != "pod/bad\npod/good\n" || !strings.Contains(errs, "read pod default/bad") {
		t.Errorf("got code %d, %q and %q, want 1, both pods and a complaint about the bad one", code, out, errs)
	}
	if out, errs, code = s.run(nil, "ps", "nosuch"); code != exitFailure || out != "" || !strings.Contains(errs, `there is no pod "nosuch"`) {
		t.Errorf("got code %d, %q and %q", code, out, errs)
	}
}
