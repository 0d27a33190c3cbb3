package chaos

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"podrun/ground"
)

const powerCut = "power cut and reboot"

// machine is a ground that can lose its power: --root is a disk of its own, in a
// file, of which nothing is written but what podrun has synced.
type machine struct {
	*ground.Ground
	disk  string // the file
	boots int
}

func newMachine(t *testing.T) *machine {
	m := &machine{Ground: newGround(t, powerCut)}
	m.disk = filepath.Join(m.Dir, "disk")
	diskOf(t, m.Store.Root, m.disk, "96M")
	m.plugIn(t)
	t.Cleanup(func() {
		m.Run("down", "--all", "--force")
		run(t, "umount", "-l", m.Store.Root)
	})
	return m
}

// plugIn mounts the disk so that the kernel brings nothing to it by itself.
func (m *machine) plugIn(t *testing.T) {
	t.Helper()
	run(t, "mount", "-o", "loop,commit=300", m.disk, m.Store.Root)
}

// cut is a power cut and the next boot: the disk is as it was then.
func (m *machine) cut(t *testing.T) {
	t.Helper()
	kept := fmt.Sprintf("%s.%d", m.disk, m.boots)
	run(t, "cp", "--sparse=always", m.disk, kept)
	m.endAll(t)
	run(t, "umount", "-l", m.Store.Root)
	entries, err := os.ReadDir(m.Store.RunRoot)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(m.Store.RunRoot, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	m.disk = kept
	m.boots++
	m.plugIn(t)
	tally(powerCut, "faults injected", 1)
}

// onDisk is a file as it would be after a power cut now.
func (m *machine) onDisk(t *testing.T, path string) []byte {
	t.Helper()
	look, at := m.disk+".look", t.TempDir()
	run(t, "cp", "--sparse=always", m.disk, look)
	run(t, "mount", "-o", "loop", look, at)
	defer run(t, "umount", at)
	data, _ := os.ReadFile(filepath.Join(at, path))
	return data
}

// endAll ends all processes of all pods.
func (m *machine) endAll(t *testing.T) {
	t.Helper()
	ground.Until(t, "the end of all processes", func() bool {
		all, err := ground.Processes()
		if err != nil {
			t.Fatal(err)
		}
		left := 0
		for _, signal := range []unix.Signal{unix.SIGSTOP, unix.SIGKILL} {
			left = 0
			for _, p := range all {
				if strings.Contains(p.Cgroups, m.Store.Instance) {
					unix.Kill(p.PID, signal)
					left++
				}
			}
		}
		return left == 0
	})
}

// on runs podrun under the boot id of the present boot.
func (m *machine) on(t *testing.T, args ...string) ground.Result {
	t.Helper()
	id := filepath.Join(m.Dir, fmt.Sprintf("boot-id-%d", m.boots))
	if err := os.WriteFile(id, fmt.Appendf(nil, "00000000-0000-4000-8000-%012d\n", m.boots), 0o600); err != nil {
		t.Fatal(err)
	}
	return inside(m.Ground, "mount --bind "+id+" /proc/sys/kernel/random/boot_id", args...)
}

func (m *machine) must(t *testing.T, args ...string) string {
	t.Helper()
	r := m.on(t, args...)
	if r.Code != 0 {
		t.Fatal(r)
	}
	return r.Stdout
}

// wants looks for a text in what a command prints.
func (m *machine) wants(t *testing.T, text string, args ...string) {
	t.Helper()
	if r := m.on(t, args...); !strings.Contains(r.Stdout, text) {
		t.Errorf("after %d power cuts there is no %q in %s", m.boots, text, r)
	}
}

const web = `
apiVersion: v1
kind: ConfigMap
metadata: {name: words}
data: {word: hello}
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'echo $WORD; exec sleep 3600']
    env: [{name: WORD, valueFrom: {configMapKeyRef: {name: words, key: word}}}]
`

const fails = `
apiVersion: v1
kind: Pod
metadata: {name: fails}
spec:
  restartPolicy: Never
  containers: [{name: main, image: busybox, command: [sh, -c, "exit 3"]}]
`

// TestPowerCut cuts the power as soon as a command has returned: what it said is
// so after the next boot.
func TestPowerCut(t *testing.T) {
	m := newMachine(t)
	m.must(t, "up", m.Write(t, "web.yaml", web))
	m.cut(t) // up has returned
	m.wants(t, "web", "ps", "-o", "name")
	m.wants(t, "pod/web running", "resume") // that it has run was not on the disk yet
	m.wants(t, "hello", "get", "configmap", "words", "-o", "yaml")
	m.wants(t, "Running", "ps", "web")

	// What nobody has waited for comes to the disk, too.
	status := filepath.Join("pods", uidOf(t, m.Ground, "web"), "status.json")
	ground.Until(t, "the start of the container, on the disk", func() bool { return bytes.Contains(m.onDisk(t, status), []byte(`"everStarted":true`)) })
	m.cut(t)
	m.wants(t, "Unknown", "ps", "web")
	m.wants(t, "exitCode: 255", "get", "pod", "web", "-o", "yaml")
	m.wants(t, "pod/web resumed", "resume")
	ground.Until(t, "the second run", func() bool {
		return strings.Contains(m.on(t, "get", "pod", "web", "-o", "yaml").Stdout, "restartCount: 1") && m.on(t, "logs", "web").Stdout == "hello\n"
	})

	m.must(t, "suspend", "web")
	m.cut(t) // suspend has returned
	m.wants(t, "Suspended", "ps", "web")
	m.wants(t, "pod/web resumed", "resume")

	if r := m.on(t, "up", m.Write(t, "fails.yaml", fails)); r.Code != 1 {
		t.Fatal(r)
	}
	m.cut(t) // the end of a pod was told
	m.wants(t, "phase: Failed", "get", "pod", "fails", "-o", "yaml")
	m.wants(t, "pod/web resumed", "resume")
	for _, text := range []string{"phase: Failed", "exitCode: 3", "restartCount: 0"} { // also where only its sandbox was left
		m.wants(t, text, "get", "pod", "fails", "-o", "yaml")
	}

	m.must(t, "down", "fails", "web")
	m.cut(t) // down has returned, of a pod that nobody kept and of one that ran
	m.must(t, "resume")
	if out := m.must(t, "ps", "-o", "name"); out != "" {
		t.Errorf("what was taken down is back after a power cut: %q", out)
	}

	m.must(t, "image", "import", "--change", `CMD ["true"]`, ground.Suite.Rootfs, "another")
	m.cut(t) // an image was taken in
	m.wants(t, "another", "image", "ls")
	m.must(t, "up", m.Write(t, "other.yaml", strings.NewReplacer("fails", "other", "busybox", "another", `"exit 3"`, `"true"`).Replace(fails)))
	m.must(t, "down", "other")
}

// TestDamagedByPowerCut: what no file system should do to a pod's files, and
// some do. What can be read is told, the rest named, and the pod comes back.
func TestDamagedByPowerCut(t *testing.T) {
	m := &machine{Ground: newGround(t, powerCut)}
	m.must(t, "up", m.Write(t, "web.yaml", web))
	uid := uidOf(t, m.Ground, "web")
	for _, damage := range []struct{ file, content string }{
		{"status.json", ""}, {"status.json", `{"version":1,"stat`}, {"status.json", "\x00\x00\x00"},
		{"events.jsonl", ""}, {"events.jsonl", "{\"reason\":\"Sta"}, {"events.jsonl", "\x00\x00\n\x00"},
	} {
		m.endAll(t)
		if err := os.RemoveAll(m.Store.RunDir(uid)); err != nil {
			t.Fatal(err)
		}
		m.boots++
		if err := os.WriteFile(filepath.Join(m.Store.PodDir(uid), damage.file), []byte(damage.content), 0o600); err != nil {
			t.Fatal(err)
		}
		tally(powerCut, "faults injected", 1)
		r := m.on(t, "ps", "-o", "name")
		if told := strings.Contains(r.Stderr, "status.json: "); r.Stdout != "pod/web\n" || told != (damage.file == "status.json") {
			t.Errorf("%s is %q: %s", damage.file, damage.content, r)
		}
		if r := m.on(t, "resume"); r.Code != 0 || !strings.HasPrefix(r.Stdout, "pod/web r") {
			t.Errorf("%s is %q: %s", damage.file, damage.content, r)
		}
		ground.Until(t, "the pod", func() bool { return strings.Contains(m.on(t, "ps", "web").Stdout, "Running") })
		ground.Until(t, "the events", func() bool { return strings.Contains(m.on(t, "events", "web").Stdout, "Started") })
	}
	m.must(t, "down", "web")
}
