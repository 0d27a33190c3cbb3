package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

const (
	passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/:/bin/sh\n1000000:x:5:5::/:/bin/sh\n"
	groups = "root:x:0:\nweb:x:1001:\nextra:x:2000:web,other\nwheel:x:10:root\n"
)

// imageTree makes a root file system with the image's user files.
func imageTree(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	must(t, os.Mkdir(filepath.Join(root, "etc"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(passwd), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "etc/group"), []byte(groups), 0o644))
	return root
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestIdentity(t *testing.T) {
	root := imageTree(t)
	bare := t.TempDir()
	user, group := ptr(int64(1000)), ptr(int64(3000))
	tests := []struct {
		why, root, user string
		sc              v1.SecurityContext
		supplemental    []int64
		want            Identity
		err             string
	}{
		{"root", root, "", v1.SecurityContext{}, nil, Identity{0, 0, []int{0, 10}}, ""},
		{"a name", root, "web", v1.SecurityContext{}, nil, Identity{1000, 1001, []int{1001, 2000}}, ""},
		{"its number", root, "1000", v1.SecurityContext{}, nil, Identity{1000, 1001, []int{1001, 2000}}, ""},
		{"name and group", root, "web:extra", v1.SecurityContext{}, nil, Identity{1000, 2000, []int{2000}}, ""},
		{"numbers that no file has", root, "77:88", v1.SecurityContext{}, nil, Identity{77, 88, []int{88}}, ""},
		{"a number is no name", root, "1000000", v1.SecurityContext{}, nil, Identity{1000000, 0, []int{0}}, ""},
		{"an image without files", bare, "", v1.SecurityContext{}, nil, Identity{0, 0, []int{0}}, ""},
		{"runAsUser over the image's", root, "root", v1.SecurityContext{RunAsUser: user}, nil, Identity{1000, 1001, []int{1001, 2000}}, ""},
		{"runAsGroup", root, "web", v1.SecurityContext{RunAsGroup: group}, nil, Identity{1000, 3000, []int{3000, 2000}}, ""},
		{"supplementalGroups", root, "web", v1.SecurityContext{}, []int64{7, 8}, Identity{1000, 1001, []int{1001, 2000, 7, 8}}, ""},
		{"a group twice", root, "web", v1.SecurityContext{}, []int64{2000, 9, 1001}, Identity{1000, 1001, []int{9, 1001, 2000}}, ""},
		{"no such user", root, "nobody", v1.SecurityContext{}, nil, Identity{}, `user "nobody" is not in the image's /etc/passwd`},
		{"no such group", root, "web:nogroup", v1.SecurityContext{}, nil, Identity{}, `user "web:nogroup" is not in the image's`},
		{"beyond the kernel's numbers", root, "4294967296", v1.SecurityContext{}, nil, Identity{}, `user "4294967296"`},
		{"a name where there are no files", bare, "web", v1.SecurityContext{}, nil, Identity{}, `user "web"`},
	}
	for _, test := range tests {
		s := Spec{
			Rootfs: test.root, Image: Image{User: test.user}, Container: &v1.Container{},
			Pod: &v1.Pod{Spec: v1.PodSpec{SecurityContext: &v1.PodSecurityContext{SupplementalGroups: test.supplemental}}},
		}
		got, err := s.identity(test.sc)
		checkConfigError(t, test.why, err, test.err)
		if err == nil && (got.UID != test.want.UID || got.GID != test.want.GID || !sameGroups(got.Groups, test.want.Groups) || !slices.IsSorted(got.Groups)) {
			t.Errorf("%s: got %+v, want %+v", test.why, got, test.want)
		}
	}
}

// TestStrictGroups: what the image's /etc/group says does not count, what the
// manifest and /etc/passwd say does.
func TestStrictGroups(t *testing.T) {
	policy := v1.SupplementalGroupsPolicyStrict
	s := Spec{
		Rootfs: imageTree(t), Image: Image{User: "web"}, Container: &v1.Container{},
		Pod: &v1.Pod{Spec: v1.PodSpec{SecurityContext: &v1.PodSecurityContext{
			SupplementalGroups: []int64{7}, FSGroup: ptr(int64(8)), SupplementalGroupsPolicy: &policy,
		}}},
	}
	for group, want := range map[*int64][]int{nil: {1001, 7, 8}, ptr(int64(2000)): {2000, 7, 8}} {
		got, err := s.identity(v1.SecurityContext{RunAsGroup: group})
		must(t, err)
		if got.UID != 1000 || !sameGroups(got.Groups, want) {
			t.Errorf("got %+v, want the groups %v", got, want)
		}
	}
}

func sameGroups(a, b []int) bool {
	in := func(list []int) map[int]bool {
		set := map[int]bool{}
		for _, g := range list {
			set[g] = true
		}
		return set
	}
	return len(a) == len(b) && reflect.DeepEqual(in(a), in(b))
}

func checkConfigError(t *testing.T, why string, err error, want string) {
	t.Helper()
	config := (*ConfigError)(nil)
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: got %v, want no error", why, err)
	case want != "" && (!errors.As(err, &config) || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: got %v, want a ConfigError with %q", why, err, want)
	}
}

func TestRunAsNonRoot(t *testing.T) {
	root := imageTree(t)
	on := v1.SecurityContext{RunAsNonRoot: ptr(true)}
	tests := []struct {
		why, user string
		runAs     *int64
		err       string
	}{
		{"a number", "1000", nil, ""},
		{"a number with a group", "1000:0", nil, ""},
		{"runAsUser over an image of root", "", ptr(int64(5)), ""},
		{"runAsUser over a name", "web", ptr(int64(5)), ""},
		{"root by default", "", nil, `container has runAsNonRoot and image will run as root (pod: "p_ns(u)", container: c)`},
		{"root by number", "0", nil, "image will run as root"},
		{"root by a number in other form", "00", nil, "image will run as root"},
		{"a name may be root's", "web", nil, "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root"},
		{"even root's", "root:web", nil, "non-numeric user (root)"},
		{"runAsUser 0", "1000", ptr(int64(0)), "container's runAsUser breaks non-root policy"},
	}
	for _, test := range tests {
		s := Spec{Rootfs: root, Image: Image{User: test.user}, Container: &v1.Container{Name: "c"}, Pod: &v1.Pod{}}
		s.Pod.Name, s.Pod.Namespace, s.Pod.UID = "p", "ns", "u"
		sc := on
		sc.RunAsUser = test.runAs
		_, err := s.identity(sc)
		checkConfigError(t, test.why, err, test.err)
	}
}

func TestReadInRoot(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(outside, []byte("the machine's"), 0o600))
	tests := []struct {
		why       string
		make      func(path string) error
		want, err string
	}{
		{"a link out of the root", func(p string) error { return os.Symlink(outside, p) }, "", ""},
		{"a link above the root", func(p string) error { return os.Symlink("../../../../../../etc/other", p) }, "other", ""},
		{"a link inside", func(p string) error { return os.Symlink("/etc/other", p) }, "other", ""},
		{"a fifo would hold the reader", func(p string) error { return unix.Mkfifo(p, 0o644) }, "", "no regular file"},
		{"a directory", func(p string) error { return os.Mkdir(p, 0o755) }, "", "no regular file"},
		{"a device", func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o644, 1<<8|5) }, "", "no regular file"},
		{"too large", func(p string) error { return sparse(p, maxPasswd+1) }, "", "no regular file of at most 4 MiB"},
	}
	for _, test := range tests {
		root := t.TempDir()
		must(t, os.Mkdir(filepath.Join(root, "etc"), 0o755))
		must(t, os.WriteFile(filepath.Join(root, "etc/other"), []byte("other"), 0o644))
		must(t, test.make(filepath.Join(root, "etc/passwd")))
		start := time.Now()
		got, err := readInRoot(root, "etc/passwd")
		checkConfigError(t, test.why, err, test.err)
		if string(got) != test.want || time.Since(start) > 5*time.Second {
			t.Errorf("%s: got %q after %v, want %q", test.why, got, time.Since(start), test.want)
		}
	}
	root := t.TempDir()
	must(t, os.Symlink("etc", filepath.Join(root, "etc"))) // a loop
	if _, err := readInRoot(root, "etc/passwd"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a loop of links: got %v, want ELOOP", err)
	}
	if _, err := readInRoot(filepath.Join(root, "none"), "etc/passwd"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no root: got %v, want os.ErrNotExist", err)
	}
	if got, err := readInRoot(root, "none"); got != nil || err != nil {
		t.Errorf("a missing file: got %q, %v, want nothing", got, err)
	}
}

func sparse(path string, size int64) error {
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		return err
	}
	return os.Truncate(path, size)
}

func TestHomeIsTheImages(t *testing.T) {
	root, bare := imageTree(t), t.TempDir()
	empty := t.TempDir()
	must(t, os.Mkdir(filepath.Join(empty, "etc"), 0o755))
	must(t, os.WriteFile(filepath.Join(empty, "etc/passwd"), []byte("root:x:0:0:root::/bin/sh\n"), 0o644))
	for _, test := range []struct {
		why, root string
		env       []string
		uid       int
		want      []string
	}{
		{"root's", root, []string{"A=1"}, 0, []string{"A=1", "HOME=/root"}},
		{"a user's", root, nil, 1000, []string{"HOME=/"}},
		{"nobody's", root, nil, 77, []string{"HOME=/"}},
		{"no file", bare, nil, 0, []string{"HOME=/"}},
		{"none in the file", empty, nil, 0, []string{"HOME=/"}},
		{"the manifest's", root, []string{"HOME=/srv", "A=1"}, 0, []string{"HOME=/srv", "A=1"}},
		{"an empty one", root, []string{"HOME=", "A=1"}, 0, []string{"A=1", "HOME=/root"}},
	} {
		got, err := (&Spec{Rootfs: test.root}).withHome(test.env, Identity{UID: test.uid})
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, %v, want %q", test.why, got, err, test.want)
		}
	}
}
