package volumes

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

const testGroup = 4321

func withGroup(s Spec, policy v1.PodFSGroupChangePolicy) Spec {
	gid := int64(testGroup)
	s.Pod.Spec.SecurityContext = &v1.PodSecurityContext{FSGroup: &gid}
	if policy != "" {
		s.Pod.Spec.SecurityContext.FSGroupChangePolicy = &policy
	}
	return s
}

// stat is group and mode of a file itself, in octal.
func stat(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return fmt.Sprintf("%d %o", st.Gid, st.Mode&^unix.S_IFMT)
}

func TestGroupOfEachKind(t *testing.T) {
	secret := source(v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "secret", DefaultMode: new(int32(0o400))}}, "secret")
	own := source(v1.VolumeSource{Ephemeral: &v1.EphemeralVolumeSource{}}, "own")
	s := withGroup(newSpec(t, emptyDir("disk"), memory("memory"), configMap("config"), secret, claim("claim"), own), "")
	s.Pod.Name = "web"
	s.ConfigMaps = configMaps("config", map[string]string{"key": "text"})
	s.Secrets = map[string]*v1.Secret{"secret": {Data: map[string][]byte{"key": []byte("text")}}}
	inPod(t, func() {
		for range 2 { // a monitor that starts again changes nothing
			if _, err := Mount(s); err != nil {
				t.Error(err)
				return
			}
			for path, want := range map[string]string{
				s.Dir + "/disk":              "4321 2777",
				s.Dir + "/memory":            "4321 3777",
				s.Dir + "/config":            "4321 2777",
				s.Dir + "/config/key":        "4321 777",
				s.Dir + "/config/..data/key": "4321 644",
				s.Dir + "/secret":            "4321 3777",
				s.Dir + "/secret/..data/key": "4321 440", // more than its defaultMode, as under the kubelet
				s.Claims + "/claim/data":     "4321 2777",
				s.Claims + "/web-own/data":   "4321 2777",
			} {
				if got := stat(t, path); got != want {
					t.Errorf("%s: got %s, want %s", path, got, want)
				}
			}
		}
	})
}

// fill puts a directory, a file, a program and links into a claim.
func fill(t *testing.T, dir string) {
	t.Helper()
	ok(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	ok(t, os.Mkdir(filepath.Join(dir, "sub/deep"), 0o750))
	for path, mode := range map[string]os.FileMode{"sub/file": 0o600, "program": 0o755 | os.ModeSetuid} {
		ok(t, os.WriteFile(filepath.Join(dir, path), nil, 0o600))
		ok(t, os.Chmod(filepath.Join(dir, path), mode))
	}
	ok(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	ok(t, os.Symlink("/etc", filepath.Join(dir, "link")))
}

func TestGroupOfAClaim(t *testing.T) {
	all := map[string]string{
		".": "4321 2777", "sub": "4321 2770", "sub/deep": "4321 2770", "sub/file": "4321 660",
		"program": "4321 4775", "fifo": "4321 660", "link": "4321 777",
	}
	tests := []struct {
		name   string
		policy v1.PodFSGroupChangePolicy
		given  bool // the root is the group's already
		frozen bool // the claim is mounted read-only
		want   map[string]string
	}{
		{"by default", "", true, false, all},
		{"Always", v1.FSGroupChangeAlways, true, false, all},
		{"OnRootMismatch, and it does not match", v1.FSGroupChangeOnRootMismatch, false, false, all},
		{"OnRootMismatch, and it matches", v1.FSGroupChangeOnRootMismatch, true, false, map[string]string{".": "4321 2770", "sub": "0 700", "sub/file": "0 600"}},
		{"read-only", "", false, true, map[string]string{".": "0 777", "sub": "0 700"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := claim("claim")
			v.PersistentVolumeClaim.ReadOnly = test.frozen
			s := withGroup(newSpec(t, v), test.policy)
			dir := s.Claims + "/claim/data"
			ok(t, os.MkdirAll(dir, 0o700))
			ok(t, os.Chmod(dir, 0o777))
			fill(t, dir)
			if test.given {
				ok(t, os.Lchown(dir, -1, testGroup))
				ok(t, os.Chmod(dir, 0o770|os.ModeSetgid))
			}
			must(Mount(s))(t)
			for path, want := range test.want {
				if path == "." && test.given {
					want = "4321 2770"
				}
				if got := stat(t, filepath.Join(dir, path)); got != want {
					t.Errorf("%s: got %s, want %s", path, got, want)
				}
			}
			if got := stat(t, "/etc"); got != "0 755" {
				t.Errorf("a link in the claim has changed /etc: %s", got)
			}
		})
	}
}

// A later monitor of the same pod leaves alone what containers made of it.
func TestGroupIsGivenOnce(t *testing.T) {
	s := withGroup(newSpec(t, claim("claim")), v1.FSGroupChangeAlways)
	must(Mount(s))(t)
	file := s.Claims + "/claim/data/file"
	ok(t, os.WriteFile(file, nil, 0o600))
	ok(t, os.Chmod(file, 0o600))
	must(Mount(s))(t)
	if got, want := stat(t, file), "4321 600"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
