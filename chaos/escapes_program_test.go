package chaos

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
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

var hunters = quickPod("own", `
  containers: [{name: hunter, image: program, imagePullPolicy: Never, command: [/attack, hunt, -for, 600s]}]
`) + quickPod("shared", `
  shareProcessNamespace: true
  containers:
  - {name: hunter, image: program, imagePullPolicy: Never, command: [/attack, hunt, -for, 600s]}
  - {name: victim, image: program, imagePullPolicy: Never, command: [sleep, "3600"]}
`) + quickPod("machine", `
  hostPID: true
  containers: [{name: hunter, image: program, imagePullPolicy: Never, command: [/attack, hunt, -for, 600s]}]
`)

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
		tried(t, pod+": write to podrun's program", holding(log, "wrote"))
	}
	// A program of the machine that is reached must be a copy, or one that cannot be written to.
	a.compare()
	a.down("own", "shared", "machine")
}

var itself = quickPod("%s", `
  restartPolicy: Never
  containers: [{name: main, image: program, imagePullPolicy: Never, command: [%q]}]
`)

// TestEscapesByItself lets podrun's init execute itself as the container's program.
func TestEscapesByItself(t *testing.T) {
	a := newAttacker(t)
	a.programs()
	for i, command := range []string{"/proc/self/exe", "/bin/evil", "/bin/link", "/proc/1/exe", "/proc/self/fd/3", "/proc/self/fd/7"} {
		out := a.attempt(fmt.Sprintf("itself-%d", i), itself, command)
		tried(t, "run "+command, holding(out, a.word))
	}
}

var inDirectory = quickPod("%s", `
  restartPolicy: Never
  containers: [{name: main, image: %s, imagePullPolicy: Never, workingDir: %q, command: [/attack, where, %q]}]
`)

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
	below := strings.TrimPrefix(a.secret, "/")
	atOnce(4, len(places), func(n int) {
		image, dir := places[n][0], places[n][1]
		out := a.attempt(fmt.Sprintf("dir-%d", n), inDirectory, image, dir, below)
		tried(t, "working directory "+dir+" of "+image, holding(out, "escaped", a.word))
	})
	a.mustUp(mover)
	for fd := 3; fd < 14; fd++ {
		out := a.exec("mover", "main", "sh", "-c", fmt.Sprintf("rm -rf /tmp/work; ln -s /proc/self/fd/%d /tmp/work", fd))
		out += a.exec("mover", "main", "/attack", "where", below)
		tried(t, fmt.Sprintf("exec in a directory that became fd %d", fd), holding(out, "escaped", a.word))
		a.Run("exec", "mover", "-c", "fixer", "--", "sh", "-c", "rm -f /shared/work; mkdir -p /shared/work") // for the next try
	}
	a.down("mover")
}

// mover's containers share /tmp, so that one can mend what the other cannot be entered for.
var mover = quickPod("mover", `
  volumes: [{name: shared, emptyDir: {}}]
  initContainers:
  - {name: make, image: attack, imagePullPolicy: Never, command: [mkdir, /shared/work], volumeMounts: [{name: shared, mountPath: /shared}]}
  containers:
  - {name: main, image: attack, imagePullPolicy: Never, command: [sleep, "3600"], workingDir: /tmp/work, volumeMounts: [{name: shared, mountPath: /tmp}]}
  - {name: fixer, image: attack, imagePullPolicy: Never, command: [sleep, "3600"], volumeMounts: [{name: shared, mountPath: /shared}]}
`)
