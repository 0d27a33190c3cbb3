package chaos

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"podrun/ground"

	"golang.org/x/sys/unix"
)

// The first process of a container stands still as it is released, so that its monitor
// dies before it has become the program.
func walkSlow(s *session) {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.slowDown("web", "second")
	}()
	s.exits(0, "up", "pod.yaml")
	<-stopped
	before := s.runs("web", "main", "second")
	s.wrote("web", "second", 0, 1)
	s.same(before, s.runs("web", "main", "second"))
	s.restarts("web", "second", 0)
	s.exits(0, "down", "pod.yaml")
}

// slowDown stops the container's first process before it is released, and for a while.
func (s *session) slowDown(pod, container string) {
	var first *ground.Process
	for start := time.Now(); first == nil && time.Since(start) < patience; time.Sleep(2 * time.Millisecond) {
		all, err := ground.Processes()
		uid, none := s.g.UID(pod)
		if err != nil || none != nil {
			continue
		}
		if i := slices.IndexFunc(all, func(p ground.Process) bool { return p.Is(container, uid, all) }); i >= 0 {
			first = &all[i]
		}
	}
	if first == nil {
		return // the session will miss it
	}
	syscall.Kill(first.PID, syscall.SIGSTOP)
	os.WriteFile(filepath.Join(s.g.Dir, "world", "go"), nil, 0o644)
	time.Sleep(slowTime)
	syscall.Kill(first.PID, syscall.SIGCONT)
}

// slowTime is enough for a monitor to begin a release, and to be killed at it.
const slowTime = 500 * time.Millisecond

const slowPod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{name: world, hostPath: {path: GROUND/world}}]
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sleep, "3600"]
    lifecycle: {postStart: {exec: {command: [sh, -c, "while [ ! -e /world/go ]; do sleep 0.02; done"]}}}
    volumeMounts: [{name: world, mountPath: /world}]
  - name: second
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "echo 1; exec sleep 3600"]
`

// A container writes more than one file of a log takes.
func walkRotation(s *session) {
	s.exits(0, "up", "pod.yaml")
	before := s.runs("web", "main")
	const lines = 26000
	uid, err := s.g.UID("web")
	if err != nil {
		s.Fatal(err)
	}
	file := filepath.Join(s.g.Store.LogDir, "default_web_"+uid, "main", "0.log")
	s.until("the last line", func() bool { return strings.HasSuffix(fileEnd(file, 1<<10), " "+strconv.Itoa(lines)) })
	got := logged(s.T, s.g.Ground, "web", "main", "0")
	for i, line := range got {
		got[i] = strings.TrimLeft(line, ". ")
	}
	s.counted(got, lines)
	s.same(before, s.runs("web", "main"))
	s.restarts("web", "main", 0)
	s.exits(0, "down", "pod.yaml")
}

// 26,000 lines of 900 bytes: two files of 10 MiB, and a third.
const printingPod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'awk "BEGIN { dots = sprintf(\"%890s\", \"\"); gsub(\" \", \".\", dots); for (i = 1; i <= 26000; i++) print dots \" \" i }"; exec sleep 3600']
`

// Volumes that reach out to the machine, and what an image brings along.
func walkMachine(s *session) {
	shared := filepath.Join(s.g.Dir, "shared")
	s.shell("mkdir -p %[1]s && mount -t tmpfs none %[1]s && mount --make-shared %[1]s", shared)
	defer s.shell("umount -l %[1]s; rm -rf %[1]s %[2]s", shared, filepath.Join(s.g.Dir, "made-file"))
	s.exits(0, "up", "pod.yaml")
	before := s.runs("web", "main")
	s.wrote("web", "main", 0, 100)
	s.prints("web\n", "exec", "web", "-c", "main", "--", "ls", "/home")
	s.same(before, s.runs("web", "main"))
	s.restarts("web", "main", 0)
	s.exits(0, "down", "pod.yaml")
}

const machinePod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  volumes:
  - {name: shared, hostPath: {path: GROUND/shared}}
  - {name: file, hostPath: {path: GROUND/made-file, type: FileOrCreate}}
  - {name: data, emptyDir: {}}
  containers:
  - name: main
    image: volume
    imagePullPolicy: Never
    command: [sh, -c, "seq 1 100; exec sleep 3600"]
    securityContext: {privileged: true}
    ports: [{containerPort: 53, hostPort: PORT, protocol: UDP}]
    volumeMounts:
    - {name: shared, mountPath: /shared, mountPropagation: Bidirectional}
    - {name: file, mountPath: /file}
    - {name: data, mountPath: /data, mountPropagation: HostToContainer}
`

// Somebody types into two containers: what has come is read once and in order.
func walkInput(s *session) {
	s.exits(0, "up", "pod.yaml")
	before := s.runs("web", "main")
	s.begin()
	s.types("1\n2\n3\n", "web", "main")
	s.wrote("web", "main", 0, 3)
	s.begin()
	s.types("4\n5\n", "web", "main")
	s.wrote("web", "main", 0, 5)
	s.same(before, s.runs("web", "main"))
	s.restarts("web", "main", 0)
	s.exits(0, "down", "pod.yaml")
}

const readingPod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    stdin: true
    command: [sh, -c, 'while read x; do echo $x; done; echo end']
`

// types attaches to a container with a text for its input, again where the monitor
// died as it answered.
func (s *session) types(text, pod, container string) {
	s.Helper()
	s.until("somebody to type to", func() bool { return s.attach(text, pod, container) == nil })
}

// attach passes the text on, and leaves. After an error nothing was passed on.
func (s *session) attach(text, pod, container string) error {
	read, write, err := os.Pipe()
	if err != nil {
		s.Fatal(err)
	}
	defer write.Close()
	cmd := s.stepped("attach", "-i", pod, "-c", container)
	cmd.Stdin = read
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	read.Close()
	if _, err := write.WriteString(text); err != nil {
		return err
	}
	left := make(chan error, 1)
	go func() { left <- cmd.Wait() }()
	// The pipe is empty when podrun has read it.
	for n := 1; n > 0; unix.Nanosleep(&unix.Timespec{Nsec: 2e6}, nil) {
		select {
		case err := <-left:
			return fmt.Errorf("%w: %s", err, stderr.String())
		default:
		}
		if n, err = unix.IoctlGetInt(int(write.Fd()), unix.TIOCINQ); err != nil {
			s.Fatal(err)
		}
	}
	unix.Nanosleep(&unix.Timespec{Nsec: 20e6}, nil) // and what it has read is on its way
	cmd.Process.Signal(syscall.SIGINT)
	<-left
	return nil
}

// A container with a terminal, and commands at one.
func walkTerminal(s *session) {
	s.exits(0, "up", "pod.yaml")
	before := s.runs("web", "main")
	s.begin()
	s.until("an answer at the terminal", func() bool {
		return strings.Contains(s.atTerminal("exec", "-it", "web", "--", "sh", "-c", "echo $((6*7))"), "42")
	})
	s.same(before, s.runs("web", "main"))
	s.restarts("web", "main", 0)
	s.exits(0, "down", "pod.yaml")
}

const terminalPod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    stdin: true
    tty: true
    command: [sh, -c, 'echo ready; exec sh -i']
`

// atTerminal runs podrun at a terminal and returns what that shows.
func (s *session) atTerminal(args ...string) string {
	s.Helper()
	own := s.stepped(args...)
	var words []string
	for _, word := range own.Args {
		words = append(words, "'"+word+"'")
	}
	cmd := exec.Command("script", "-qec", strings.Join(words, " "), "/dev/null")
	cmd.Env, cmd.Dir = own.Env, own.Dir
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// An exec that somebody has stopped has to reap its command.
func walkStopped(s *session) {
	s.exits(0, "up", "pod.yaml")
	s.runs("web", "main")
	cmd := s.g.Command("exec", "web", "--", "sleep", "1000")
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	s.until("the command", func() bool {
		r, _ := s.try("exec", "web", "--", "ps")
		return strings.Contains(r.Stdout, "sleep 1000")
	})
	cmd.Process.Signal(syscall.SIGSTOP)
	s.exits(0, "down", "pod.yaml")
}

// The image of a pod is pulled by its up.
func walkPull(s *session) {
	s.g.Run("image", "rm", walkedImage) // it may not be there
	s.g.Must(s.T, "image", "prune")
	s.exits(0, "up", "pod.yaml")
	before := s.runs("web", "main")
	s.wrote("web", "main", 0, 100)
	s.same(before, s.runs("web", "main"))
	if r := s.g.Run("image", "check"); r.Code != 0 {
		s.Error(r)
	}
	s.exits(0, "down", "pod.yaml")
}

const walkedPod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: IMAGE
    imagePullPolicy: Always
    command: [sh, -c, "seq 1 100; exec sleep 3600"]
`

// A pod has had more events than are kept.
func walkEvents(s *session) {
	s.exits(0, "up", "pod.yaml")
	before := s.runs("web", "main")
	uid, err := s.g.UID("web")
	if err != nil {
		s.Fatal(err)
	}
	file := filepath.Join(s.g.Store.PodDir(uid), "events.jsonl")
	s.shell("yes '{\"metadata\":{\"name\":\"x\"}}' | head -n 6000 >>%s", file)
	s.exits(0, "debug", "web", "--image", "busybox", "-c", "look", "--", "sleep", "3600")
	s.same(before, s.runs("web", "main", "look"))
	s.until("a short file of events", func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() < 64<<10
	})
	if r, _ := s.try("events", "web"); r.Code != 0 || !strings.Contains(r.Stdout, "Started") {
		s.Error(r)
	}
	s.exits(0, "down", "pod.yaml")
}

// shell runs a line of the shell on the ground.
func (s *session) shell(format string, args ...any) string {
	s.Helper()
	cmd := exec.Command("sh", "-ec", fmt.Sprintf(format, args...))
	cmd.Dir = s.g.Dir
	cmd.Env = append(os.Environ(), s.g.Environment()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.Fatalf("%s: %v\n%s", fmt.Sprintf(format, args...), err, out)
	}
	return string(out)
}
