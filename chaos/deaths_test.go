package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"podrun/ground"
)

const monitorDies = "the monitor dies"

var writer = quickPod("writer", `
  restartPolicy: Never
  containers:
  - name: main
    image: peer
    imagePullPolicy: Never
    args: [lines, -count, "%d", -length, "%d", -rate, "100", -slowest, /dev/termination-log]
`)

// A log keeps five parts of 10 MiB: what is written here fits.
const (
	writtenLines  = 45_000
	writtenLength = 1000
)

// TestMonitorDiesUnderLoad: a container that prints 100 MB/s is held up until the
// monitor is back, and every line is in its log once and in order.
func TestMonitorDiesUnderLoad(t *testing.T) {
	r := dice(t)
	var worst []int
	for range 4 {
		g := newGround(t, monitorDies)
		up := g.Command("up", g.Write(t, "writer.yaml", fmt.Sprintf(writer, writtenLines, writtenLength)))
		if err := up.Start(); err != nil {
			t.Fatal(err)
		}
		uid := uidOf(t, g, "writer")
		mustFind(t, uid, "main")
		for range 3 {
			time.Sleep(upTo(r, 100*time.Millisecond))
			if kill(t, uid, "monitor") {
				tally(monitorDies, "faults injected", 1)
			}
		}
		if err := up.Wait(); err != nil {
			t.Errorf("up of a writer whose monitor was killed: %v", err)
		}
		ground.Until(t, "the end of the writer", func() bool { return podOf(t, g, "writer").Status.Phase == v1.PodSucceeded })
		worst = append(worst, checkWritten(t, g))
		g.Must(t, "down", "writer")
	}
	slices.Sort(worst)
	t.Logf("the slowest write of each run took, in ms: %v", worst)
	tally(monitorDies, "ms that 100 MB/s waited at most (median of the runs)", worst[len(worst)/2])
	if worst[0] > 1000 {
		t.Errorf("the writer was held up for %d ms at least", worst[0])
	}
}

// checkWritten looks for every line, and returns how long the slowest write took.
func checkWritten(t *testing.T, g *ground.Ground) int {
	t.Helper()
	lines, lost := logged(t, g, "writer", "main", "0"), 0
	for i := range max(len(lines), writtenLines) {
		want := fmt.Sprintf("%09d %s", i, strings.Repeat("x", writtenLength-11))
		if i >= len(lines) || lines[i] != want {
			lost++
			if lost == 1 {
				t.Errorf("line %d of %d is not what was written", i, len(lines))
			}
		}
	}
	tally(monitorDies, "bytes lost", lost*writtenLength)
	end := containerOf(t, podOf(t, g, "writer"), "main").State.Terminated
	if end == nil {
		t.Fatal("the writer has not ended")
	}
	slowest, err := strconv.Atoi(end.Message)
	if err != nil {
		t.Fatalf("how long the slowest write took: %v", err)
	}
	return slowest
}

// TestMonitorIsBack measures how long a pod is without a monitor that answers,
// killed once in a while and again and again.
func TestMonitorIsBack(t *testing.T) {
	for name, rest := range map[string]time.Duration{"once in a while": 1200 * time.Millisecond, "again and again": 0} {
		g := newGround(t, monitorDies)
		g.Must(t, "up", g.Write(t, "sleeper.yaml", sleeper))
		uid := uidOf(t, g, "sleeper")
		var gaps []time.Duration
		for range 8 {
			time.Sleep(rest)
			old := mustFind(t, uid, "monitor")
			began := time.Now()
			if err := unix.Kill(old.PID, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			// It answers when it keeps the pod: the containers are watched before.
			g.Must(t, "condition", "sleeper", fmt.Sprintf("example.com/Killed%d=True", old.PID))
			gaps = append(gaps, time.Since(began))
			tally(monitorDies, "faults injected", 1)
		}
		slices.Sort(gaps)
		t.Logf("killed %s, it answered after %v", name, gaps)
		tally(monitorDies, "ms until it answers, killed "+name+" (median)", int(gaps[len(gaps)/2].Milliseconds()))
		if gaps[0] > time.Second {
			t.Errorf("killed %s, it came back after %v at the earliest", name, gaps[0])
		}
		g.Must(t, "down", "sleeper")
	}
}

var exiting = quickPod("exit-%[1]d", `
  restartPolicy: Never
  containers:
  - {name: main, image: busybox, imagePullPolicy: Never, command: [sh, -c, "trap 'echo last words; exit %[1]d' TERM; echo ready; while :; do sleep 0.01; done"]}
`)

// upExiting brings such a pod up, and waits until it heeds SIGTERM.
func upExiting(t *testing.T, g *ground.Ground, code int) (pod, uid string) {
	t.Helper()
	pod = fmt.Sprintf("exit-%d", code)
	g.Must(t, "up", g.Write(t, pod+".yaml", fmt.Sprintf(exiting, code)))
	ground.Until(t, "the trap", func() bool { return len(logged(t, g, pod, "main", "0")) > 0 })
	return pod, uidOf(t, g, pod)
}

// wantEnd waits for the end of the container and wants its code and last line.
func wantEnd(t *testing.T, g *ground.Ground, pod string, code int) {
	t.Helper()
	ground.Until(t, "the end of "+pod, func() bool { return podOf(t, g, pod).Status.Phase == v1.PodFailed })
	end := containerOf(t, podOf(t, g, pod), "main").State.Terminated
	if end == nil || int(end.ExitCode) != code || end.Reason != "Error" {
		t.Errorf("%s: got the end %+v, want exit code %d", pod, end, code)
		tally(monitorDies, "exit codes lost", 1)
	}
	if got := logged(t, g, pod, "main", "0"); !slices.Equal(got, []string{"ready", "last words"}) {
		t.Errorf("%s: its log is %q", pod, got)
	}
}

// TestExitWhileTheMonitorDies: at whatever moment around an exit the monitor is
// killed, the exit code is recorded.
func TestExitWhileTheMonitorDies(t *testing.T) {
	r := dice(t)
	g := newGround(t, monitorDies)
	for code := 3; code < 15; code++ {
		pod, uid := upExiting(t, g, code)
		main, monitor := mustFind(t, uid, "main"), mustFind(t, uid, "monitor")
		first, second := main.PID, monitor.PID
		signals := []unix.Signal{unix.SIGTERM, unix.SIGKILL}
		if r.IntN(3) == 0 {
			first, second, signals = second, first, []unix.Signal{unix.SIGKILL, unix.SIGTERM}
		}
		unix.Kill(first, signals[0])
		time.Sleep(upTo(r, 30*time.Millisecond))
		unix.Kill(second, signals[1])
		tally(monitorDies, "faults injected", 1)
		wantEnd(t, g, pod, code)
		g.Must(t, "down", pod)
	}
}

// recordDisk puts the records of the ground's pods on a disk of one megabyte; the
// file that it returns is there to take all of it.
func recordDisk(t *testing.T, g *ground.Ground) (full string) {
	t.Helper()
	pods := filepath.Join(g.Store.Root, "pods")
	if err := os.MkdirAll(pods, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("podrun-test", pods, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(pods, unix.MNT_DETACH) })
	return filepath.Join(pods, "full")
}

// endMain ends the container of an exiting pod.
func endMain(t *testing.T, uid string) {
	t.Helper()
	main := mustFind(t, uid, "main")
	unix.Kill(main.PID, unix.SIGTERM)
	ground.Until(t, "the end of the container", main.Ended)
}

// TestExitOnAFullDisk: an exit that the disk cannot take is kept beside it, also
// when the monitor is killed meanwhile, and is on it when there is room.
func TestExitOnAFullDisk(t *testing.T) {
	g := newGround(t, monitorDies)
	disk := recordDisk(t, g)
	for code := 7; code < 10; code++ {
		pod, uid := upExiting(t, g, code)
		fill(t, disk)
		endMain(t, uid)
		for range 3 { // before and after what it does at the end of a container
			kill(t, uid, "monitor")
			tally(monitorDies, "faults injected", 1)
			mustFind(t, uid, "monitor")
			time.Sleep(50 * time.Millisecond)
		}
		if err := os.Remove(disk); err != nil {
			t.Fatal(err)
		}
		wantEnd(t, g, pod, code)
		g.Must(t, "down", pod)
	}
}

// TestDownOnAFullDisk: a pod can be removed whatever the disk says to it.
func TestDownOnAFullDisk(t *testing.T) {
	g := newGround(t, monitorDies)
	disk := recordDisk(t, g)
	for code, ended := range map[int]bool{21: true, 22: false} {
		pod, uid := upExiting(t, g, code)
		fill(t, disk)
		if ended {
			endMain(t, uid)
			time.Sleep(100 * time.Millisecond)
		}
		g.Must(t, "down", pod)
		if err := os.Remove(disk); err != nil {
			t.Fatal(err)
		}
		tally(monitorDies, "faults injected", 1)
	}
}

// fill takes all room that a file system has.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 16, 1 << 12, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
}

const stopped = "a container that stands still"

const frozen = `
apiVersion: v1
kind: Pod
metadata: {name: frozen}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sleep, "3600"]
    livenessProbe: {exec: {command: ["true"]}, periodSeconds: 1, failureThreshold: 2, timeoutSeconds: 1}
`

// freeze freezes a cgroup of the ground's, "" for that of the instance.
func freeze(t *testing.T, g *ground.Ground, group, state string) {
	t.Helper()
	for file, text := range map[string]string{"/sys/fs/cgroup/freezer/%s/freezer.state": state, "/sys/fs/cgroup/%s/cgroup.freeze": map[string]string{"FROZEN": "1", "THAWED": "0"}[state]} {
		path := fmt.Sprintf(file, filepath.Join("podrun", g.Store.Instance, group))
		if os.WriteFile(path, []byte(text), 0) == nil {
			return
		}
	}
	t.Fatalf("no freezer has the cgroup %q", group)
}

// TestFrozen: who has frozen a container, or the pod, cannot keep it from being
// ended, by its probe or by down.
func TestFrozen(t *testing.T) {
	for name, group := range map[string]string{"the container": "main.0", "the pod": ""} {
		t.Run(name, func(t *testing.T) {
			g := newGround(t, stopped)
			g.Must(t, "up", g.Write(t, "frozen.yaml", frozen))
			uid := uidOf(t, g, "frozen")
			freeze(t, g, filepath.Join(uid, group), "FROZEN")
			ground.Until(t, "the liveness probe to end what does not answer", func() bool {
				return containerOf(t, podOf(t, g, "frozen"), "main").RestartCount == 1
			})
			ground.Until(t, "the next attempt", func() bool {
				return containerOf(t, podOf(t, g, "frozen"), "main").State.Running != nil
			})
			freeze(t, g, filepath.Join(uid, strings.Replace(group, ".0", ".1", 1)), "FROZEN")
			g.Must(t, "down", "frozen")
			tally(stopped, "faults injected", 2)
		})
	}
}

// TestDownSaysWhatItWaitsFor: a process that no signal ends is named.
func TestDownSaysWhatItWaitsFor(t *testing.T) {
	g := newGround(t, stopped)
	disk := frozenDisk(t)
	manifest := strings.NewReplacer("/disk", disk.dir).Replace(`
apiVersion: v1
kind: Pod
metadata: {name: stuck}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{name: disk, hostPath: {path: /disk}}]
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "echo begun; touch /data/file"]
    volumeMounts: [{name: disk, mountPath: /data}]
`)
	g.Must(t, "up", g.Write(t, "stuck.yaml", manifest))
	ground.Until(t, "the container", func() bool { return len(logged(t, g, "stuck", "main", "0")) > 0 })
	down := g.Command("down", "stuck")
	said, err := down.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := down.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := said.Read(buf)
	if got := string(buf[:n]); err != nil || !strings.Contains(got, "of container main was killed and does not end: it waits in the kernel, in ") {
		t.Errorf("down said %q, %v", got, err)
	}
	disk.thaw()
	if err := down.Wait(); err != nil {
		t.Errorf("down: %v", err)
	}
	tally(stopped, "faults injected", 1)
}

type disk struct {
	dir  string
	thaw func()
}

// frozenDisk mounts a file system that takes no writes before it is thawed: who
// writes to it sleeps in the kernel.
func frozenDisk(t *testing.T) disk {
	t.Helper()
	file, dir := filepath.Join(t.TempDir(), "disk.img"), t.TempDir()
	diskOf(t, dir, file, "8M")
	run(t, "mount", "-o", "loop", file, dir)
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	run(t, "fsfreeze", "-f", dir)
	thaw := sync.OnceFunc(func() { run(t, "fsfreeze", "-u", dir) })
	t.Cleanup(thaw)
	return disk{dir, thaw}
}
