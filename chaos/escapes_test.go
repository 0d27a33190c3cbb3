package chaos

import (
	"archive/tar"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"podrun/ground"
)

// The tests of this class are attackers: they know how containers got out of other
// runtimes, and try it. Each also looks at the machine's side.
const escapes = "known escapes"

// tried counts one attack. escaped says how it got out; empty, it did not.
func tried(t testing.TB, what, escaped string) {
	t.Helper()
	tally(escapes, "escapes tried", 1)
	n := 0
	if escaped != "" {
		n = 1
		t.Errorf("%s: ESCAPED: %s", what, escaped)
	}
	tally(escapes, "escapes", n)
}

// holding returns the output if it holds one of the words: an escape.
func holding(output string, words ...string) string {
	if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(output, w) }) {
		return output
	}
	return ""
}

// attacker is a ground with the image attack, which has busybox and the program
// /attack, and with something on the machine that is worth reaching.
type attacker struct {
	*ground.Ground
	t      *testing.T
	secret string // a file of the machine that no container has, by its path
	word   string // which is in it
	canary string // a directory of the machine with files that nobody may change
	before map[string]string
}

func newAttacker(t *testing.T) *attacker {
	t.Helper()
	g := newGround(t, escapes)
	a := &attacker{Ground: g, t: t, word: "secret-" + rand.Text(), secret: filepath.Join(g.Dir, "secret"), canary: filepath.Join(g.Dir, "canary")}
	if err := os.MkdirAll(filepath.Join(a.canary, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{a.secret, filepath.Join(a.canary, "secret"), filepath.Join(a.canary, "deep/secret")} {
		if err := os.WriteFile(file, []byte(a.word), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a.load("attack", attackImage(t))
	a.before = a.machine()
	t.Cleanup(a.compare)
	return a
}

// load makes an image of a tar.
func (a *attacker) load(name, tar string, changes ...string) {
	a.t.Helper()
	args := []string{"image", "import", "--change", `CMD ["sleep","3600"]`}
	for _, c := range changes {
		args = append(args, "--change", c)
	}
	a.Must(a.t, append(args, tar, name)...)
}

func (a *attacker) up(manifest string) ground.Result {
	a.t.Helper()
	file := filepath.Join(a.Dir, "pod-"+rand.Text()[:8]+".yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o644); err != nil {
		a.t.Fatal(err)
	}
	return a.Run("up", "--timeout", "40s", file)
}

func (a *attacker) mustUp(manifest string) {
	a.t.Helper()
	if r := a.up(manifest); r.Code != 0 {
		a.t.Fatal(r)
	}
}

// exec runs a command in a container and returns all that it printed.
func (a *attacker) exec(pod, container string, command ...string) string {
	a.t.Helper()
	r := a.Run(append([]string{"exec", pod, "-c", container, "--"}, command...)...)
	return r.Stdout + r.Stderr
}

func (a *attacker) down(pods ...string) {
	a.t.Helper()
	a.Must(a.t, append([]string{"down"}, pods...)...)
}

// untilEnded waits until no container of a pod runs.
func (a *attacker) untilEnded(pod string) {
	ground.Until(a.t, "the end of "+pod, func() bool { return !strings.Contains(a.Run("ps", pod).Stdout, "Running") })
}

// attempt runs a pod, which may fail, to its end, and returns what it printed. The
// first %-verb of its manifest is its name.
func (a *attacker) attempt(pod, manifest string, args ...any) string {
	a.t.Helper()
	if r := a.up(fmt.Sprintf(manifest, append([]any{pod}, args...)...)); r.Code == 0 {
		a.untilEnded(pod)
	}
	out := a.Run("logs", pod).Stdout
	a.Run("down", "--force", pod)
	return out
}

// atOnce does something with each number below n, with so many of them at a time.
func atOnce(limit, n int, do func(int)) {
	var all errgroup.Group
	all.SetLimit(limit)
	for i := range n {
		all.Go(func() error {
			do(i)
			return nil
		})
	}
	all.Wait()
}

// background starts a command in a container that goes on until its container ends.
func (a *attacker) background(pod, container, ready string, command ...string) {
	a.t.Helper()
	log := "/tmp/background-" + rand.Text()[:8]
	line := fmt.Sprintf("%s >%s 2>&1 </dev/null &", strings.Join(command, " "), log)
	if out := a.exec(pod, container, "sh", "-c", line); out != "" {
		a.t.Fatalf("start %s: %s", command, out)
	}
	ground.Until(a.t, ready, func() bool { return strings.Contains(a.exec(pod, container, "cat", log), ready) })
}

// exchange starts to exchange two names in a container, as fast as it can.
func (a *attacker) exchange(pod, one, other string) {
	a.t.Helper()
	a.background(pod, "main", "exchanging", "/attack", "exchange", one, other)
}

// precious are files of the machine that escapes change or that would give one.
var precious = []string{
	"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/sysrq", "/proc/sys/kernel/hostname",
	"/proc/sys/kernel/yama/ptrace_scope", "/proc/sys/fs/binfmt_misc/status", "/sys/kernel/uevent_helper",
	"/sys/fs/cgroup/*/release_agent", "/sys/fs/cgroup/*/notify_on_release",
	"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/etc/ld.so.preload", "/etc/crontab",
}

// machine is what must stay as it is.
func (a *attacker) machine() map[string]string {
	state := map[string]string{}
	for _, pattern := range append(precious, a.Binary, a.secret) {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			content, err := os.ReadFile(file)
			state[file] = fmt.Sprintf("%x %v", sha256.Sum256(content), err)
		}
	}
	filepath.WalkDir(a.canary, func(path string, _ fs.DirEntry, err error) error {
		var stat unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &stat)
		}
		content, _ := os.ReadFile(path)
		state[path] = fmt.Sprintf("%s %o %d %d %d %v", content, stat.Mode, stat.Uid, stat.Gid, stat.Nlink, err)
		return nil
	})
	return state
}

// changed says what has changed on the machine since the test began.
func (a *attacker) changed() string {
	after := a.machine()
	var changes []string
	for file, now := range after {
		if was := a.before[file]; was != now {
			changes = append(changes, fmt.Sprintf("%s is %q, was %q", file, now, was))
		}
	}
	for file := range a.before {
		if _, is := after[file]; !is {
			changes = append(changes, file+" is gone")
		}
	}
	return strings.Join(changes, "\n")
}

func (a *attacker) compare() {
	if changes := a.changed(); changes != "" {
		tried(a.t, "the machine afterwards", changes)
	}
}

var attackTar = sync.OnceValues(func() (string, error) {
	program, err := ground.Program("attack", func(path string) *exec.Cmd {
		cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./testdata/attack")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		return cmd
	})
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	return program + ".tar", withBusybox(program+".tar", entry{name: "attack", content: string(content), mode: 0o755})
})

func attackImage(t testing.TB) string {
	t.Helper()
	path, err := attackTar()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// entry is one more file of an image: a link where link is set.
type entry struct {
	name, content, link string
	mode                int64
}

func withBusybox(path string, entries ...entry) error {
	return withMore(ground.Suite.Rootfs, path, entries...)
}

// withMore writes a tar with some entries more; what it has of that name or below it
// is left out.
func withMore(tarball, path string, entries ...entry) error {
	from, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(path)
	if err != nil {
		return err
	}
	defer to.Close()
	r, w := tar.NewReader(from), tar.NewWriter(to)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(h.Name, "/")
		if slices.ContainsFunc(entries, func(e entry) bool { return name == e.name || strings.HasPrefix(name, e.name+"/") }) {
			continue
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if err := addEntry(w, e); err != nil {
			return err
		}
	}
	return w.Close()
}

func addEntry(w *tar.Writer, e entry) error {
	if e.link != "" {
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: e.name, Linkname: e.link})
	}
	return ground.AddFile(w, e.name, e.content, e.mode)
}
