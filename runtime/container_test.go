package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

func TestExitCodes(t *testing.T) {
	r := newRig(t)
	tests := []struct {
		script, output string
		want           Exit
	}{
		{"echo out; echo err >&2", "out\nerr", Exit{}},
		{"exit 7", "", Exit{Code: 7}},
		{"exit 255", "", Exit{Code: 255}},
		{"no-such-program", "/bin/sh: no-such-program: not found", Exit{Code: 127}},
		{"sleep 100 & exit 3", "", Exit{Code: 3}}, // what is left of the container goes with its first process
	}
	for _, test := range tests {
		output, exit := r.run(r.spec(test.script))
		if output != test.output || exit != test.want {
			t.Errorf("%q: got %q, %+v, want %q, %+v", test.script, output, exit, test.output, test.want)
		}
	}
}

func TestSignal(t *testing.T) {
	r := newRig(t)
	tests := []struct {
		script string
		signal unix.Signal
		want   Exit
	}{
		{"trap 'exit 5' TERM; echo ready; while :; do sleep .01; done", unix.SIGTERM, Exit{Code: 5}},
		{"echo ready; sleep 100", unix.SIGKILL, Exit{Code: 137, Signal: 9}},
	}
	for _, test := range tests {
		c, out := r.create(r.spec(test.script))
		_, err := c.Start(nil)
		must(t, err)
		out.Read(make([]byte, len("ready\n")))
		must(t, c.Signal(test.signal))
		if _, exit := r.finish(c, out); exit != test.want {
			t.Errorf("%v: got %+v, want %+v", test.signal, exit, test.want)
		}
		if err := c.Signal(test.signal); err != nil {
			t.Errorf("a signal to what is gone: %v", err)
		}
	}
}

// The phases of one container, as its own process and as a later one see them.
func TestLife(t *testing.T) {
	r := newRig(t)
	s := r.spec("echo ready; sleep 100")
	c, out := r.create(s)
	check := func(when string, want Phase) {
		t.Helper()
		loaded, err := Load(r.root, s.ID)
		must(t, err)
		for who, c := range map[string]*Container{"created": c, "loaded": loaded} {
			if got, err := c.Phase(); got != want || err != nil {
				t.Errorf("%s, %s: got phase %v (%v), want %v", when, who, got, err, want)
			}
		}
		if loaded.PID() != c.PID() {
			t.Errorf("%s: loaded with pid %d, want %d", when, loaded.PID(), c.PID())
		}
	}
	check("prepared", Waiting)
	before := time.Now()
	first, err := c.Start(nil)
	must(t, err)
	if first.Before(before) || first.After(time.Now()) {
		t.Errorf("started at %v, it is %v", first, time.Now())
	}
	out.Read(make([]byte, len("ready\n")))
	check("started", Running)
	loaded, err := Load(r.root, s.ID)
	must(t, err)
	for _, c := range []*Container{c, loaded} {
		if again, err := c.Start(nil); !again.Equal(first) || err != nil {
			t.Errorf("started again at %v (%v), want %v", again, err, first)
		}
	}
	w, err := loaded.NewWatch()
	must(t, err)
	defer w.Close()
	if _, err := w.Peek(); err == nil {
		t.Error("a look at the exit of what runs: no error")
	}
	must(t, loaded.Signal(unix.SIGKILL))
	must(t, w.Wait())
	check("ended, a zombie", Gone)
	if again, err := c.Start(nil); !again.Equal(first) || err != nil {
		t.Errorf("started after its end at %v (%v), want %v", again, err, first)
	}
	w.Reap()
	check("reaped", Gone)
	if _, err := c.NewWatch(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("watch what is gone: got %v, want os.ErrProcessDone", err)
	}
	must(t, out.Close())
	must(t, loaded.Destroy())
	if _, err := Load(r.root, s.ID); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("load what was destroyed: got %v, want os.ErrNotExist", err)
	}
}

func TestDestroyWaiting(t *testing.T) {
	r := newRig(t)
	c, out := r.create(r.spec("echo never"))
	w, err := c.NewWatch()
	must(t, err)
	defer w.Close()
	go func() { w.Wait(); w.Reap() }()
	must(t, c.Destroy())
	data := make([]byte, 10)
	if n, _ := out.Read(data); n != 0 {
		t.Errorf("a container that was never released said %q", data[:n])
	}
	must(t, out.Close())
	soon(t, "its process is reaped", func() bool { return unix.Kill(c.PID(), 0) != nil })
	r.noCgroups()
}

func TestStartOfWhatEndedBeforeItsRelease(t *testing.T) {
	r := newRig(t)
	c, out := r.create(r.spec("true"))
	must(t, c.Signal(unix.SIGKILL))
	waitFor(t, c)
	if _, err := c.Start(nil); err == nil || !strings.HasPrefix(err.Error(), "release container: its first process ended before it became the container's program") {
		t.Errorf("got %v", err)
	}
	must(t, out.Close())
	must(t, c.Destroy())
}

func TestCreateErrors(t *testing.T) {
	r := newRig(t)
	must(t, os.WriteFile(filepath.Join(r.rootfs, "data/plain"), []byte("x"), 0o644))
	tests := []struct {
		why     string
		command []string
		want    string
		is      error
	}{
		{"not in $PATH", []string{"none"}, `exec "none": not found in the image's $PATH`, ErrCommandNotFound},
		{"no such file", []string{"/bin/none"}, `exec "/bin/none": not found in the image`, ErrCommandNotFound},
		{"no execute bit", []string{"/data/plain"}, `exec "/data/plain": permission denied: the file in the image is not executable`, ErrNotExecutable},
		{"a directory", []string{"/data"}, `exec "/data": permission denied: the file in the image is not executable: it is a directory`, ErrNotExecutable},
	}
	for _, test := range tests {
		s := r.spec("")
		s.Command = test.command
		c, err := Create(r.root, s, Streams{Stdout: os.Stdout, Stderr: os.Stderr})
		if err == nil {
			t.Errorf("%s: no error", test.why)
			c.Destroy()
			continue
		}
		if test.want != "" && err.Error() != test.want || test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("%s: got %q, want %q", test.why, err, test.want)
		}
	}
	s := r.spec("")
	s.Image.User = "nobody"
	if _, err := Create(r.root, s, Streams{Stdout: os.Stdout, Stderr: os.Stderr}); err == nil {
		t.Error("no such user: no error")
	}
	s = r.spec("")
	s.Binds = []Bind{{Source: "/none", Destination: "/data"}}
	if _, err := Create(r.root, s, Streams{Stdout: os.Stdout, Stderr: os.Stderr}); err == nil {
		t.Error("a bind of nothing: no error")
	}
	s = r.spec("")
	s.Container.Resources = v1.ResourceRequirements{Limits: quantities("", "256Ki")}
	if _, err := Create(r.root, s, Streams{Stdout: os.Stdout, Stderr: os.Stderr}); err == nil {
		t.Error("less memory than the first process needs: no error")
	}
	r.noCgroups()
}

// noCgroups says that no container has one any more.
func (r *rig) noCgroups() {
	r.Helper()
	if left := cgroupDirs(cgroupTop + "/*"); len(left) > 0 {
		r.Errorf("cgroups are left: %q", left)
	}
}

func TestDiscard(t *testing.T) {
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "half", "made"), 0o755))
	must(t, os.MkdirAll(filepath.Join(root, "other"), 0o755))
	if _, err := Load(root, "half"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("load: got %v, want os.ErrNotExist", err)
	}
	must(t, Discard(root, "half"))
	must(t, Discard(root, "half"))
	if left, _ := os.ReadDir(root); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	must(t, DiscardAll(root))
	if _, err := os.Stat(root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
}

func TestOOMKill(t *testing.T) {
	r := newRig(t)
	s := r.spec("x=0123456789; while :; do x=$x$x$x$x; done")
	s.Container.Resources = v1.ResourceRequirements{Limits: quantities("", "64Mi")} // room for an init that looks for races
	c, out := r.create(s)
	if got := c.OOMKills(); got != 0 {
		t.Errorf("before the start: got %d", got)
	}
	_, err := c.Start(nil)
	must(t, err)
	exit := waitFor(t, c)
	if got := c.OOMKills(); got == 0 || exit != (Exit{Code: 137, Signal: 9}) {
		t.Errorf("got %d kills, %+v", got, exit)
	}
	must(t, out.Close())
	must(t, c.Destroy())
	if got := c.OOMKills(); got != 0 {
		t.Errorf("after the removal: got %d", got)
	}
}
