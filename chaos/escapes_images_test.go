package chaos

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"

	"podrun/ground"
)

const imageEscapeClass = "hostile images"

// hostSecret is in a file and in a variable of the machine that no container may see.
const hostSecret = "secret-of-the-machine"

// hostileImage is an image made to harm, and what may come of it.
type hostileImage struct {
	name   string
	files  []tar.Header // of its upper layer; the lower one is busybox
	config v1.Config
	spec   string // what the container's manifest has besides
	volumes,
	script string // what the container tries; its output is searched for the secret
	up string // what up says when the image is refused; empty: it runs
}

func link(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}
}

func regular(name string, size int64) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644}
}

func device(kind byte, name string, number uint64) tar.Header {
	return tar.Header{Typeflag: kind, Name: name, Mode: 0o666, Devmajor: int64(unix.Major(number)), Devminor: int64(unix.Minor(number))}
}

// hostileImages aim at the directory outside, which has a file "secret" and one
// "passwd"; disk is the machine's own.
func hostileImages(outside string, disk uint64) []hostileImage {
	up := strings.Repeat("../", 12)
	dotted := up + strings.TrimPrefix(outside, "/")
	evil := v1.Config{User: "evil"}
	return []hostileImage{
		{name: "absolute names", files: []tar.Header{regular(outside+"/new", 1)}, script: "cat " + outside + "/secret"},
		{name: "dot-dot names", files: []tar.Header{regular(dotted+"/new", 1)}},
		{name: "names through a link", files: []tar.Header{link("l", outside), regular("l/new", 1), link("m", dotted), regular("m/secret", 1)}, script: "cat /l/secret /m/secret"},
		{name: "a hard link to the outside", files: []tar.Header{{Typeflag: tar.TypeLink, Name: "h", Linkname: outside + "/secret"}}, up: "no such file"},
		{name: "a hard link by dots", files: []tar.Header{{Typeflag: tar.TypeLink, Name: "h", Linkname: dotted + "/secret"}}, up: "no such file"},
		{name: "a hard link through a link", files: []tar.Header{link("l", outside), {Typeflag: tar.TypeLink, Name: "h", Linkname: "l/secret"}}, up: "no such file"},
		{name: "whiteouts of the outside", files: []tar.Header{link("l", outside), regular("l/.wh.secret", 0), regular("l/.wh..wh..opq", 0)}},
		{name: "whiteout of dot-dot", files: []tar.Header{regular("d/.wh...", 0)}, up: "whiteout"},
		{name: "the machine's disk", files: []tar.Header{device(tar.TypeBlock, "disk", disk), device(tar.TypeChar, "mem", unix.Mkdev(1, 1)), device(tar.TypeChar, "port", unix.Mkdev(1, 4))},
			script: "for d in disk mem port; do dd if=/$d of=/dev/null bs=1 count=1 2>/dev/null && echo " + hostSecret + "; done; true"},
		{name: "CVE-2024-45310: a mount point through a link", files: []tar.Header{link("data", outside), link("deep", dotted)}, spec: "volumeMounts: [{name: v, mountPath: /data/made}, {name: v, mountPath: /deep/made/deeper}]", volumes: "[{name: v, emptyDir: {}}]"},
		{name: "a mount point that is a link", files: []tar.Header{link("data", outside)}, spec: "volumeMounts: [{name: v, mountPath: /data}]", volumes: "[{name: v, emptyDir: {}}]", script: "touch /data/new"},
		{name: "etc as a link", files: []tar.Header{link("etc", outside)}, script: "cat /etc/secret"},
		{name: "the pod's files as links", files: []tar.Header{link("etc/hosts", outside+"/secret"), link("etc/resolv.conf", dotted+"/secret"), link("etc/hostname", outside+"/new")}, script: "echo x >/etc/hosts; cat /etc/resolv.conf"},
		{name: "a message through a link", files: []tar.Header{link("message", outside)}, spec: "terminationMessagePath: /message/new", script: "echo x >/message/new"},
		{name: "GHSA-q6r4-3wmg-fwcq: WORKDIR through a link", files: []tar.Header{link("work", outside)}, config: v1.Config{WorkingDir: "/work/made"}, up: "mkdir /work: file exists"},
		{name: "WORKDIR by dots", config: v1.Config{WorkingDir: up + strings.TrimPrefix(outside, "/") + "/made"}, script: "pwd; cat ../secret"},
		{name: "VOLUME through a link", files: []tar.Header{link("vol", outside)}, config: v1.Config{Volumes: map[string]struct{}{"/vol": {}, "/vol/made": {}}}, script: "cat /vol/secret; touch /vol/new"},
		{name: "VOLUME by dots", config: v1.Config{Volumes: map[string]struct{}{"/" + dotted: {}, "relative": {}, "/": {}}}, script: "cat " + outside + "/secret"},
		{name: "CVE-2024-9676: passwd as a link", files: []tar.Header{link("etc/passwd", outside+"/passwd")}, config: evil, up: `user "evil" is not in the image's /etc/passwd`},
		{name: "passwd as a link by dots", files: []tar.Header{link("etc/passwd", dotted+"/passwd")}, config: evil, up: `user "evil" is not in the image's /etc/passwd`},
		{name: "passwd as a fifo", files: []tar.Header{{Typeflag: tar.TypeFifo, Name: "etc/passwd", Mode: 0o644}}, config: evil, up: "/etc/passwd of the image is no regular file"},
		{name: "group as a fifo", files: []tar.Header{{Typeflag: tar.TypeFifo, Name: "etc/group", Mode: 0o644}}, up: "/etc/group of the image is no regular file"},
		{name: "passwd as a device", files: []tar.Header{device(tar.TypeChar, "etc/passwd", unix.Mkdev(1, 5))}, config: evil, up: "/etc/passwd of the image is no regular file"},
		{name: "passwd as a directory", files: []tar.Header{{Typeflag: tar.TypeDir, Name: "etc/passwd", Mode: 0o755}}, config: evil, up: "/etc/passwd of the image is no regular file"},
		{name: "passwd of 64 MiB", files: []tar.Header{regular("etc/passwd", 64<<20)}, config: evil, up: "of at most 4 MiB"},
		{name: "CVE-2026-57231: variables without a value", config: v1.Config{Env: []string{"PATH=/bin", "HOST_SECRET", "=x", ""}}, script: `env; tr '\0' '\n' </proc/1/environ; echo "$HOST_SECRET"`},
		{name: "a variable with a NUL", config: v1.Config{Env: []string{"PATH=/bin", "HOST_SECRET\x00=y"}}, up: "contains nul byte"},
	}
}

// TestHostileImages runs images that are made to harm the machine. Each is refused
// or harmless: what is outside is what it was, nothing of it is seen inside, and
// the pod goes without a trace.
func TestHostileImages(t *testing.T) {
	g := newGround(t, imageEscapeClass)
	outside := filepath.Join(g.Dir, "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	g.Write(t, "outside/secret", hostSecret)
	g.Write(t, "outside/passwd", "evil:x:0:0::/:/bin/sh\n")
	var disk unix.Stat_t
	if err := unix.Stat(g.Dir, &disk); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOST_SECRET", hostSecret)
	host := testRegistry(t)
	before := listing(t, outside)
	for i, h := range hostileImages(outside, disk.Dev) {
		t.Run(h.name, func(t *testing.T) {
			tally(imageEscapeClass, "escapes tried", 1)
			tally(imageEscapeClass, "escapes", 0)
			reference := fmt.Sprintf("%s/hostile%d:1", host, i)
			h.push(t, reference)
			for _, users := range []string{"true", "false"} {
				if users == "false" && h.up != "" {
					continue // refused before there is a user namespace
				}
				h.try(t, g, reference, users)
				if after := listing(t, outside); after != before {
					tally(imageEscapeClass, "escapes", 1)
					t.Errorf("the outside is\n%s\nand was\n%s", after, before)
				}
			}
		})
	}
	if r := g.Run("image", "check"); r.Code != 0 {
		t.Error(r)
	}
	g.Must(t, "image", "prune")
	if left, err := filepath.Glob(filepath.Join(g.Store.ImageDir(), "tmp", "*")); len(left) > 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}

// push makes the image. One that registries' libraries would not make is written
// as it is.
func (h *hostileImage) push(t *testing.T, reference string) {
	t.Helper()
	base, err := tarball.LayerFromFile(ground.Suite.Rootfs)
	if err != nil {
		t.Fatal(err)
	}
	layers := []v1.Layer{base}
	if len(h.files) > 0 {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, f := range h.files {
			if err := w.WriteHeader(&f); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(bytes.Repeat([]byte("x"), int(f.Size))); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		upper, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, upper)
	}
	if err := pushLayers(reference, h.config, layers...); err != nil {
		t.Fatal(err)
	}
}

const hostilePod = `
apiVersion: v1
kind: Pod
metadata: {name: hostile}
spec:
  hostUsers: %s
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  volumes: %s
  containers:
  - name: main
    image: %s
    command: [/bin/sh, -c, %q]
    %s
`

// try runs the image in a pod.
func (h *hostileImage) try(t *testing.T, g *ground.Ground, reference, hostUsers string) {
	t.Helper()
	volumes := h.volumes
	if volumes == "" {
		volumes = "[]"
	}
	script := h.script + "\necho did its worst; exec sleep 3600"
	file := g.Write(t, "hostile.yaml", fmt.Sprintf(hostilePod, hostUsers, volumes, reference, script, h.spec))
	began := time.Now()
	r := g.Run("up", file)
	if took := time.Since(began); took > ground.Patience(30*time.Second) {
		t.Errorf("up took %v", took)
	}
	switch {
	case h.up == "" && r.Code != 0:
		t.Errorf("%s\nwant it to run", r)
	case h.up != "" && r.Code == 0:
		tally(imageEscapeClass, "escapes", 1)
		t.Errorf("%s\nwant it refused: %q", r, h.up)
	case h.up != "" && !strings.Contains(r.Stderr, h.up):
		t.Errorf("%s\nwant %q", r, h.up)
	}
	if h.up == "" && r.Code == 0 {
		var out string
		ground.Until(t, "the end of the script", func() bool {
			out = g.Run("logs", "hostile").Stdout
			return strings.Contains(out, "did its worst")
		})
		out += g.Run("exec", "hostile", "--", "env").Stdout
		if strings.Contains(out, hostSecret) {
			tally(imageEscapeClass, "escapes", 1)
			t.Errorf("the container has seen the machine's secret:\n%s", out)
		}
	}
	if r := g.Run("down", "hostile"); r.Code != 0 && h.up == "" {
		t.Error(r)
	}
}

// listing is all that can be seen of a directory.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		text, _ := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %o %d:%d %d %d.%d %q\n", path, st.Mode, st.Uid, st.Gid, st.Nlink, st.Mtim.Sec, st.Mtim.Nsec, text)
		n, err := unix.Llistxattr(path, nil)
		if n > 0 {
			fmt.Fprintf(&b, "  %d bytes of attributes\n", n)
		}
		if err != nil && !errors.Is(err, unix.ENOTSUP) {
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
