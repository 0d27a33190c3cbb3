package chaos

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
)

// programs are images whose commands are podrun itself, as libcontainer's init has it
// in the container (CVE-2019-5736): the interpreter of a script, and the program.
func (a *attacker) programs() {
	tar := filepath.Join(a.Dir, "program.tar")
	script, link := entry{name: "bin/evil", content: "#!/proc/self/exe\n", mode: 0o755}, entry{name: "bin/link", link: "/proc/self/exe"}
	if err := withMore(attackImage(a.t), tar, script, link); err != nil {
		a.t.Fatal(err)
	}
	a.load("program", tar)
}

const hunters = `
apiVersion: v1
kind: Pod
metadata: {name: own}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: hunter, image: program, imagePullPolicy: Never, command: [/attack, hunt, -for, 600s]}]
---
apiVersion: v1
kind: Pod
metadata: {name: shared}
spec:
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 0
  containers:
  - {name: hunter, image: program, imagePullPolicy: Never, command: [/attack, hunt, -for, 600s]}
  - {name: victim, image: program, imagePullPolicy: Never, command: [sleep, "3600"]}
---
apiVersion: v1
kind: Pod
metadata: {name: machine}
spec:
  hostPID: true
  terminationGracePeriodSeconds: 0
  containers: [{name: hunter, image: program, imagePullPolicy: Never, command: [/attack, hunt, -for, 600s]}]
`

// TestEscapesByPodrunsProgram overwrites podrun: a hunter waits in the container for a
// process that runs what is not of its image, and writes to that through
// /proc/PID/exe, while podrun enters the container by exec, debug, and new containers.
func TestEscapesByPodrunsProgram(t *testing.T) {
	a := newAttacker(t)
	a.programs()
	a.mustUp(hunters)
	var execs sync.WaitGroup
	for _, pod := range []string{"own", "shared", "machine"} {
		execs.Go(func() {
			for range 8 {
				for _, command := range []string{"/bin/evil", "/bin/link", "/bin/true"} {
					a.Run("exec", pod, "-c", "hunter", "--", command)
				}
			}
			a.Run("debug", pod, "--image", "program", "--target", "hunter", "--pull", "Never", "--", "true")
			a.Run("debug", pod, "--image", "program", "--target", "hunter", "--pull", "Never", "--", "/proc/self/exe")
		})
	}
	execs.Wait()
	for _, pod := range []string{"own", "shared", "machine"} {
		log := a.Must(t, "logs", pod, "-c", "hunter")
		if !strings.Contains(log, "hunting") {
			t.Errorf("%s: the hunter said %q", pod, log)
		}
		found := strings.Count(log, "program ")
		t.Logf("%s: the hunter reached %d programs", pod, found)
		for range max(found, 26) {
			tally(escapes, "escapes tried", 1)
		}
		tried(t, pod+": write to podrun's program", unless(!strings.Contains(log, "wrote"), log))
	}
	// A program of the machine that is reached must be a copy, or one that cannot be written to.
	a.compare()
	a.down("own", "shared", "machine")
}

const itself = `
apiVersion: v1
kind: Pod
metadata: {name: itself-%[1]d}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: program, imagePullPolicy: Never, command: [%[2]q]}]
`

// TestEscapesByItself lets podrun's init execute itself as the container's program.
func TestEscapesByItself(t *testing.T) {
	a := newAttacker(t)
	a.programs()
	for i, command := range []string{"/proc/self/exe", "/bin/evil", "/bin/link", "/proc/1/exe", "/proc/self/fd/3", "/proc/self/fd/7"} {
		r := a.up(itself, i, command)
		if r.Code == 0 {
			a.untilEnded("itself-" + strconv.Itoa(i))
		}
		out := a.Run("logs", "itself-"+strconv.Itoa(i))
		tried(t, "run "+command, unless(!strings.Contains(out.Stdout, a.word), out.Stdout))
		a.Run("down", "itself-"+strconv.Itoa(i))
	}
}

const inDirectory = `
apiVersion: v1
kind: Pod
metadata: {name: dir-%[1]d}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: %[2]s, imagePullPolicy: Never, workingDir: %[3]q, command: [/attack, where, %[4]q]}]
`

// TestEscapesByWorkingDirectory names descriptors that podrun's init may have as the
// working directory (CVE-2024-21626): in the manifest, in the image, through a link of
// the image and, for exec, through one that the container makes later.
func TestEscapesByWorkingDirectory(t *testing.T) {
	a := newAttacker(t)
	tar := filepath.Join(a.Dir, "links.tar")
	if err := withMore(attackImage(t), tar, entry{name: "link7", link: "/proc/self/fd/7"}, entry{name: "link8", link: "proc/self/fd/8"}, entry{name: "up", link: strings.Repeat("../", 30)}); err != nil {
		t.Fatal(err)
	}
	a.load("links", tar, "WORKDIR /proc/self/fd/7")
	places := [][2]string{
		{"links", ""}, {"links", "/link7"}, {"links", "/link8"}, {"links", "/up"}, {"links", "/up/" + a.Dir},
		{"attack", "/proc/self/fd/7/../../.."}, {"attack", "/proc/self/cwd"}, {"attack", "/proc/1/cwd"},
		{"attack", "/proc/self/root"}, {"attack", "/proc/thread-self/fd/8"}, {"attack", "/dev/fd/7"},
	}
	for fd := 3; fd < 14; fd++ {
		places = append(places, [2]string{"attack", fmt.Sprintf("/proc/self/fd/%d", fd)})
	}
	var all errgroup.Group
	all.SetLimit(4)
	for n, place := range places {
		all.Go(func() error {
			a.startIn(n, place[0], place[1])
			return nil
		})
	}
	all.Wait()
	a.mustUp(mover)
	for fd := 3; fd < 14; fd++ {
		out := a.exec("mover", "main", "sh", "-c", fmt.Sprintf("rm -rf /tmp/work; ln -s /proc/self/fd/%d /tmp/work", fd))
		out += a.exec("mover", "main", "/attack", "where", strings.TrimPrefix(a.secret, "/"))
		tried(t, fmt.Sprintf("exec in a directory that became fd %d", fd), unless(!strings.Contains(out, "escaped") && !strings.Contains(out, a.word), out))
		a.Run("exec", "mover", "-c", "fixer", "--", "sh", "-c", "rm -f /shared/work; mkdir -p /shared/work") // for the next try
	}
	a.down("mover")
}

// startIn starts a container in a directory, which may fail.
func (a *attacker) startIn(n int, image, dir string) {
	name, out := fmt.Sprintf("dir-%d", n), ""
	if r := a.up(inDirectory, n, image, dir, strings.TrimPrefix(a.secret, "/")); r.Code == 0 {
		a.untilEnded(name)
		out = a.Run("logs", name).Stdout
	}
	tried(a.t, "working directory "+dir+" of "+image, unless(!strings.Contains(out, "escaped") && !strings.Contains(out, a.word), out))
	a.Run("down", name)
}

// mover's containers share /tmp, so that one can mend what the other cannot be entered for.
const mover = `
apiVersion: v1
kind: Pod
metadata: {name: mover}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{name: shared, emptyDir: {}}]
  initContainers:
  - {name: make, image: attack, imagePullPolicy: Never, command: [mkdir, /shared/work], volumeMounts: [{name: shared, mountPath: /shared}]}
  containers:
  - {name: main, image: attack, imagePullPolicy: Never, command: [sleep, "3600"], workingDir: /tmp/work, volumeMounts: [{name: shared, mountPath: /tmp}]}
  - {name: fixer, image: attack, imagePullPolicy: Never, command: [sleep, "3600"], volumeMounts: [{name: shared, mountPath: /shared}]}
`
