package ground

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packRootfs writes a root filesystem around the machine's static busybox.
func packRootfs() error {
	Suite.Rootfs = filepath.Join(Suite.Dir, "busybox.tar")
	f, err := os.Create(Suite.Rootfs)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := writeBusybox(f); err != nil {
		return err
	}
	return f.Close()
}

const (
	passwdFile = "root:x:0:0:root:/root:/bin/sh\nweb:x:1001:1001:web:/home/web:/bin/sh\n"
	groupFile  = "root:x:0:\nweb:x:1001:\nmedia:x:1500:web\n"
)

// writeBusybox writes the tar: one binary, and a link for each of its applets.
func writeBusybox(to io.Writer) error {
	binary, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return fmt.Errorf("%w: install busybox-static", err)
	}
	applets, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		return fmt.Errorf("list the applets of busybox: %w", err)
	}
	w := tar.NewWriter(to)
	for _, d := range []tar.Header{
		{Name: "bin/", Mode: 0o755}, {Name: "etc/", Mode: 0o755}, {Name: "root/", Mode: 0o700},
		{Name: "home/", Mode: 0o755}, {Name: "home/web/", Mode: 0o755, Uid: 1001, Gid: 1001}, {Name: "tmp/", Mode: 0o1777},
	} {
		d.Typeflag = tar.TypeDir
		if err := w.WriteHeader(&d); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		name, content string
		mode          int64
	}{{"bin/busybox", string(binary), 0o755}, {"etc/passwd", passwdFile, 0o644}, {"etc/group", groupFile, 0o644}} {
		if err := AddFile(w, f.name, f.content, f.mode); err != nil {
			return err
		}
	}
	for _, name := range strings.Fields(string(applets)) {
		if name == "busybox" {
			continue // a link to itself
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}); err != nil {
			return err
		}
	}
	return w.Close()
}

// AddFile writes a regular file into a layer.
func AddFile(w *tar.Writer, name, content string, mode int64) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := io.WriteString(w, content)
	return err
}

func buildPeer(path string) *exec.Cmd {
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./testdata/peer")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Dir = Suite.module
	return cmd
}

// packPeer builds the program of testdata/peer and writes the tar of an image
// that holds it and nothing else.
func packPeer() error {
	program, err := Program("peer", buildPeer)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	Suite.Peer = filepath.Join(Suite.Dir, "peer.tar")
	f, err := os.Create(Suite.Peer)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}); err != nil {
		return err
	}
	if err := AddFile(w, "peer", string(content), 0o755); err != nil {
		return err
	}
	return errors.Join(w.Close(), f.Close())
}

// importImages makes the store that every ground starts with a copy of.
func importImages() error {
	root := filepath.Join(Suite.Dir, "template")
	Suite.Images = filepath.Join(root, "images")
	for _, args := range [][]string{
		{`CMD ["sh"]`, Suite.Rootfs, "docker.io/library/busybox:latest"},
		{`ENTRYPOINT ["/peer"]`, Suite.Peer, "docker.io/library/peer:latest"},
	} {
		cmd := exec.Command(Suite.Binary, "--root", root, "--run-root", filepath.Join(root, "run"), "--log-dir", filepath.Join(root, "log"),
			"image", "import", "--change")
		cmd.Args = append(cmd.Args, args...)
		if err := combined(cmd); err != nil {
			return err
		}
	}
	return nil
}
