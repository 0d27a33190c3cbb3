package volumes

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

func TestHostPath(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	ok(t, os.Mkdir(at("dir"), 0o755))
	write(t, at("file"), "")
	ok(t, os.Symlink("dir", at("link")))
	ok(t, unix.Mkfifo(at("pipe"), 0o600))
	ok(t, unix.Mknod(at("char"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	ok(t, unix.Mknod(at("block"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 250))))
	listener := must(net.Listen("unix", at("socket")))(t)
	defer listener.Close()
	const failed = "hostPath type check failed: "
	tests := []struct {
		path    string
		kind    v1.HostPathType
		wantErr string
	}{
		{at("absent"), v1.HostPathUnset, ""}, // made at the first bind
		{at("file"), v1.HostPathUnset, ""},
		{at("dir"), v1.HostPathDirectory, ""},
		{at("link"), v1.HostPathDirectory, ""}, // links are followed
		{at("file"), v1.HostPathFile, ""},
		{at("socket"), v1.HostPathSocket, ""},
		{at("char"), v1.HostPathCharDev, ""},
		{at("block"), v1.HostPathBlockDev, ""},
		{at("new/deep"), v1.HostPathDirectoryOrCreate, ""},
		{at("dir"), v1.HostPathDirectoryOrCreate, ""},
		{at("new/file"), v1.HostPathFileOrCreate, ""},
		{at("file"), v1.HostPathFileOrCreate, ""},
		{at("absent"), v1.HostPathDirectory, failed + at("absent") + " is not a directory: it doesn't exist"},
		{at("file"), v1.HostPathDirectory, failed + at("file") + " is not a directory, it's a File"},
		{at("file"), v1.HostPathDirectoryOrCreate, failed + at("file") + " is not a directory, it's a File"},
		{at("dir"), v1.HostPathFile, failed + at("dir") + " is not a file, it's a Directory"},
		{at("dir"), v1.HostPathFileOrCreate, failed + at("dir") + " is not a file, it's a Directory"},
		{at("file"), v1.HostPathSocket, failed + at("file") + " is not a socket file, it's a File"},
		{at("block"), v1.HostPathCharDev, failed + at("block") + " is not a character device, it's a BlockDevice"},
		{at("pipe"), v1.HostPathBlockDev, failed + at("pipe") + " is not a block device, it's a pipe"},
		{at("none/file"), v1.HostPathFileOrCreate, "FileOrCreate makes no directories: create " + at("none") + " first"},
		{at("file/below"), v1.HostPathDirectory, "not a directory"},
		{at("dir"), "Folder", "Folder is an invalid volume type"},
		{"/srv/../etc", v1.HostPathUnset, "invalid HostPath `/srv/../etc`: must not contain '..'"},
		{"srv", v1.HostPathUnset, "invalid HostPath `srv`: must be an absolute path"}, // relative to what?
	}
	for _, test := range tests {
		t.Run(string(test.kind)+filepath.Base(test.path), func(t *testing.T) {
			s := newSpec(t, onHost(test.path, test.kind))
			_, err := Mount(s)
			checkError(t, err, test.wantErr)
		})
	}
	if got, want := modeOf(t, at("new/deep")), os.ModeDir|0o755; got != want {
		t.Errorf("DirectoryOrCreate: got mode %v, want %v", got, want)
	}
	if got, want := modeOf(t, at("new/file")), os.FileMode(0o644); got != want {
		t.Errorf("FileOrCreate: got mode %v, want %v", got, want)
	}
}

func TestHostPathIsMadeAtTheFirstBindAndStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a/b")
	s := newSpec(t, onHost(path, v1.HostPathUnset))
	set := must(Mount(s))(t)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("Mount looked after a hostPath without a type: %v", err)
	}
	binds := must(set.Binds(&s.Pod.Spec.Containers[0], "c-0"))(t)
	if binds[0].Source != path {
		t.Errorf("got source %s, want %s", binds[0].Source, path)
	}
	write(t, path+"/kept", "x")
	ok(t, set.Release("c-0"))
	ok(t, Remove(s.Dir))
	if got := read(t, path+"/kept"); got != "x" {
		t.Errorf("the host's file after Remove: got %q", got)
	}
}
