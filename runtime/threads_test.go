package runtime

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/runc/libcontainer/system"
	"golang.org/x/sys/unix"
)

// Its main thread ends, and another goes on.
const withoutMainThread = `#include <pthread.h>
#include <unistd.h>
static void *rest(void *arg) { write(1, "ready\n", 6); sleep(100); return arg; }
int main(void) { pthread_t t; pthread_create(&t, 0, rest, 0); pthread_exit(0); }
`

func TestProgramWithoutMainThread(t *testing.T) {
	r := newRig(t)
	source := filepath.Join(t.TempDir(), "program.c")
	must(t, os.WriteFile(source, []byte(withoutMainThread), 0o644))
	if out, err := exec.Command("gcc", "-static", "-pthread", "-o", filepath.Join(r.rootfs, "bin/program"), source).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s", err, out)
	}
	s := r.spec("")
	s.Command = []string{"/bin/program"}
	c, out := r.create(s)
	_, err := c.Start(nil)
	must(t, err)
	out.Read(make([]byte, len("ready\n")))
	soon(t, "the main thread has ended", func() bool { return isZombie(c.PID()) })
	if phase, err := c.Phase(); phase != Running || err != nil {
		t.Errorf("got phase %v (%v), want Running", phase, err)
	}
	w, err := c.NewWatch()
	must(t, err)
	defer w.Close()
	if _, err := w.Peek(); err == nil {
		t.Error("it has an exit while it runs")
	}
	must(t, c.Signal(unix.SIGKILL))
	at := time.Now()
	if _, exit := r.finish(c, out); exit != (Exit{Code: 137, Signal: 9}) {
		t.Errorf("got %+v", exit)
	}
	if took := time.Since(at); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
}

func isZombie(pid int) bool {
	stat, err := system.Stat(pid)
	return err == nil && stat.State == system.Zombie
}
