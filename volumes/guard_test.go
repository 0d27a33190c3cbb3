package volumes

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// TestGuardRefusesPodrunsOwn finds podrun's directories by whatever name.
func TestGuardRefusesPodrunsOwn(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"own/pods/a", "run", "log/pods", "other", "bound", "boundpods", "boundabove"} {
		ok(t, os.MkdirAll(at(d), 0o755))
	}
	write(t, at("own/pods/a/pod.json"), "{}")
	write(t, at("boundfile"), "")
	ok(t, os.Symlink("../own", at("other/link")))
	ok(t, os.Symlink("/", at("other/root")))
	for _, b := range [][2]string{{"own", "bound"}, {"own/pods", "boundpods"}, {"own/pods/a/pod.json", "boundfile"}, {".", "boundabove"}} {
		ok(t, unix.Mount(at(b[0]), at(b[1]), "", unix.MS_BIND, ""))
		defer unix.Unmount(at(b[1]), unix.MNT_DETACH)
	}
	elsewhere := exec.Command("sleep", "60") // a mount namespace that is not this one's
	elsewhere.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	ok(t, elsewhere.Start())
	defer elsewhere.Wait()
	defer elsewhere.Process.Kill()
	foreign := fmt.Sprintf("/proc/%d/root", elsewhere.Process.Pid)

	g := &Guard{State: []string{at("own"), at("run")}, Logs: at("log/pods")}
	for _, c := range []struct {
		path     string
		writable bool
		want     string // of the complaint; empty for none
	}{
		{at("own"), true, "podrun's own state"},
		{at("own"), false, "podrun's own state"},
		{at("own/pods/a"), false, "podrun's own state"},
		{at("own/pods/a/pod.json"), false, "podrun's own state"},
		{at("own/new/deep"), true, "podrun's own state"}, // which a type with OrCreate would make
		{at("run"), true, "podrun's own state"},
		{at("other/link"), true, "podrun's own state"},
		{at("other/link/pods"), true, "podrun's own state"},
		{at("other/root") + at("own"), true, "podrun's own state"},
		{at("bound"), true, "podrun's own state"},
		{at("boundpods/a"), true, "podrun's own state"},
		{at("boundfile"), true, "podrun's own state"},
		{at("boundabove/own/pods"), true, "podrun's own state"},
		{"/proc/self/root" + at("own"), true, "podrun's own state"},
		{foreign + at("own/pods"), true, "podrun's own state"},
		{foreign + at("own/pods/a/pod.json"), true, "podrun's own state"},
		{at("log/pods"), true, "say readOnly: true"},
		{at("log/pods/new"), true, "say readOnly: true"},
		{at("log/pods"), false, ""},
		{at("log"), true, ""}, // of which Review warns
		{at("other"), true, ""},
		{at("owner"), true, ""},
		{at("absent/own"), true, ""},
		{"/", true, ""},
		{"/dev/null", true, ""},
	} {
		checkError(t, g.check(c.path, c.writable), c.want)
	}
}

func TestGuardWarnsOfWhatHandsOverTheMachine(t *testing.T) {
	dir := t.TempDir()
	ok(t, os.MkdirAll(filepath.Join(dir, "state"), 0o755))
	ok(t, os.MkdirAll(filepath.Join(dir, "plain"), 0o755))
	g := &Guard{State: []string{filepath.Join(dir, "state")}, Logs: filepath.Join(dir, "absent")}
	for _, c := range []struct {
		path, subPath string
		readOnly      bool
		want          string
	}{
		{"/", "", false, "the root of the machine's file system: who controls the container controls the machine"},
		{"/", "", true, "the root of the machine's file system: the container can read what is secret"},
		{"/proc/self/root", "", false, "the root of the machine's file system"},
		{dir, "", false, "holds podrun's own state"},
		{filepath.Dir(dir), "", true, "the container can read what is secret"},
		{"/run/docker.sock", "", false, "the socket of a container runtime (/run/docker.sock)"},
		{"/var/run/docker.sock", "", true, "the socket of a container runtime (/run/docker.sock): who controls"},
		{"/run/containerd", "containerd.sock", true, "the socket of a container runtime"},
		{"/run/user/1000/podman/podman.sock", "", false, "the socket of a container runtime"},
		{"/var/run/crio/crio.sock", "", false, "the socket of a container runtime"},
		{filepath.Join(dir, "plain"), "", false, ""},
		{filepath.Join(dir, "new"), "", false, ""},
	} {
		s := newSpec(t, onHost(c.path, v1.HostPathUnset))
		m := &s.Pod.Spec.Containers[0].VolumeMounts[0]
		m.SubPath, m.ReadOnly = c.subPath, c.readOnly
		warnings, err := g.Review(s.Pod)
		ok(t, err)
		got := strings.Join(warnings, "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
			t.Errorf("%s %s: got %q, want %q", c.path, c.subPath, got, c.want)
		}
	}
}

// TestGuardLooksAgainAtEachBind: a container of another pod may have put a link to
// podrun's state into the volume since it was mounted.
func TestGuardLooksAgainAtEachBind(t *testing.T) {
	dir := t.TempDir()
	own, shared := filepath.Join(dir, "own"), filepath.Join(dir, "shared")
	ok(t, os.Mkdir(own, 0o700))
	ok(t, os.MkdirAll(filepath.Join(shared, "x"), 0o755))
	for _, subPath := range []string{"", "link"} {
		path := filepath.Join(shared, "x")
		if subPath != "" {
			path = filepath.Dir(own) // both are inside
		}
		s := newSpec(t, onHost(path, v1.HostPathUnset))
		s.Guard = Guard{State: []string{own}}
		set := must(Mount(s))(t)
		ok(t, os.RemoveAll(filepath.Join(shared, "x")))
		ok(t, os.Symlink(own, filepath.Join(shared, "x")))
		c := s.Pod.Spec.Containers[0]
		if subPath != "" {
			c.VolumeMounts[0].SubPath = "shared/x"
		}
		_, err := set.Binds(&c, "c.0")
		checkError(t, err, "podrun's own state")
	}
}
