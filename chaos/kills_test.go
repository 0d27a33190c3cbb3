package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"podrun/ground"
)

// busy is a pod of everything that a monitor does again and again. What happens
// in it is written down in /seen, on the machine.
const busy = `
apiVersion: v1
kind: Pod
metadata: {name: busy}
spec:
  terminationGracePeriodSeconds: 5
  volumes: [{name: seen, hostPath: {path: %s}}]
  initContainers:
  - name: sidecar
    image: busybox
    imagePullPolicy: Never
    restartPolicy: Always
    command: [sh, -c, "trap 'echo sidecar ends >>/seen/ends; exit' TERM; while :; do sleep 0.1; done"]
    volumeMounts: [{name: seen, mountPath: /seen}]
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "trap 'echo main ends >>/seen/ends; exit' TERM; i=0; while :; do echo line $i; i=$((i+1)); usleep 2000; done"]
    volumeMounts: [{name: seen, mountPath: /seen}]
    startupProbe: {exec: {command: [sh, -c, "echo x >>/seen/startup; test $(wc -l </seen/startup) -ge 2"]}, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 30}
    livenessProbe: {exec: {command: [sh, -c, "echo x >>/seen/live"]}, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 3}
    readinessProbe: {exec: {command: [test, -e, /seen/unready]}, periodSeconds: 1, failureThreshold: 1000}
    lifecycle:
      postStart: {exec: {command: [sh, -c, "echo x >>/seen/poststart"]}}
      preStop: {exec: {command: [sh, -c, "echo x >>/seen/prestop; sleep 0.2"]}}
  - name: failing
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "cut -d. -f1 /proc/uptime >>/seen/starts; n=$(wc -l </seen/starts); echo start $n; sleep 0.2; exit $((10+n))"]
    volumeMounts: [{name: seen, mountPath: /seen}]
  - name: dying
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "echo x >>/seen/dying; exec sleep 3600"]
    volumeMounts: [{name: seen, mountPath: /seen}]
    livenessProbe: {exec: {command: ["false"]}, periodSeconds: 4, failureThreshold: 3, terminationGracePeriodSeconds: 1}
  - name: terminal
    image: busybox
    imagePullPolicy: Never
    tty: true
    stdin: true
    command: [sh, -c, "i=0; while :; do echo tty $i; i=$((i+1)); usleep 10000; done"]
`

// killsFor is how long monitors are killed; the variable makes it longer.
func killsFor(t *testing.T) time.Duration { return durationOf(t, "PODRUN_CHAOS_KILLS", 30*time.Second) }

func durationOf(t *testing.T, variable string, usual time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("read %s: %v", variable, err)
	}
	return d
}

// TestMonitorDiesAgainAndAgain kills monitors at random for a while: what runs
// goes on, what ends is counted, what is asked again and again is asked as often.
func TestMonitorDiesAgainAndAgain(t *testing.T) {
	t.Parallel()
	r := dice(t)
	g := newGround(t, monitorDies)
	seen := t.TempDir()
	up := g.Command("up", g.Write(t, "busy.yaml", fmt.Sprintf(busy, seen)))
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	uid := uidOf(t, g, "busy")
	ground.Until(t, "the containers", func() bool { _, err := os.Stat(filepath.Join(seen, "dying")); return err == nil })
	main := program(t, uid, "echo line")
	began := time.Now()
	kills := killMonitors(t, r, uid, killsFor(t))
	took := time.Since(began)
	up.Process.Kill() // readiness is not what it waits for here
	up.Wait()
	t.Logf("%d kills in %v", kills, took.Round(time.Second))
	tally(monitorDies, "faults injected", kills)

	if main.Ended() {
		t.Error("the container main has ended")
	}
	checkBusy(t, g, seen, took, kills)
	if t.Failed() {
		t.Log(g.Must(t, "describe", "busy"))
	}
	stop := make(chan int)
	go func() { stop <- killMonitors(t, r, uid, time.Second) }()
	g.Must(t, "down", "busy")
	tally(monitorDies, "faults injected", <-stop)
	// A kubelet that was restarted calls it again; there is one end of each.
	if n := linesIn(t, seen, "prestop"); n < 1 {
		t.Errorf("preStop was called %d times", n)
	}
	if got := textOf(t, seen, "ends"); got != "main ends\nsidecar ends\n" {
		t.Errorf("the containers ended like this:\n%s", got)
	}
}

// program finds the process of the pod that was started with the given words. What
// prepares it and what probes it are others.
func program(t *testing.T, uid, words string) (p ground.Process) {
	t.Helper()
	ground.Until(t, "the process of "+words, func() bool {
		all, err := ground.Processes()
		i := slices.IndexFunc(all, func(p ground.Process) bool {
			return strings.Contains(p.Cgroups, "/"+uid+"/") && strings.Contains(p.Title, words)
		})
		if err != nil || i < 0 {
			return false
		}
		p = all[i]
		return true
	})
	return p
}

// killMonitors kills one after the other and returns how many.
func killMonitors(t *testing.T, r *rand.Rand, uid string, long time.Duration) (kills int) {
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(upTo(r, 600*time.Millisecond)) {
		if p, found := victim(uid, "monitor"); found && unix.Kill(p.PID, unix.SIGKILL) == nil {
			kills++
		}
	}
	return kills
}

func textOf(t *testing.T, seen, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(seen, file))
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

func linesIn(t *testing.T, seen, file string) int { return strings.Count(textOf(t, seen, file), "\n") }

func checkBusy(t *testing.T, g *ground.Ground, seen string, took time.Duration, kills int) {
	t.Helper()
	p := podOf(t, g, "busy")
	for _, name := range []string{"sidecar", "main", "terminal"} {
		if c := containerOf(t, p, name); c.RestartCount != 0 || c.State.Running == nil {
			t.Errorf("container %s: %d restarts, %+v", name, c.RestartCount, c.State)
		}
	}
	if n := linesIn(t, seen, "poststart"); n != 1 {
		t.Errorf("postStart was called %d times", n)
	}
	// Each death of a monitor may cost the attempt under way, or repeat one.
	if n, most := linesIn(t, seen, "live"), int(took.Seconds())+3+kills; n < 3 || n > most {
		t.Errorf("%d liveness probes in %v, want about one a second", n, took)
	}
	// Killed by its probe after the third failure in a row: after 8 s at the soonest.
	if n, most := linesIn(t, seen, "dying"), 1+int(took.Seconds())/8; n > most {
		t.Errorf("the container that fails its probe was started %d times in %v, want %d at most", n, took, most)
	}
	ground.Until(t, "the probe to end the container that fails it", func() bool { return linesIn(t, seen, "dying") > 1 })
	checkFailing(t, g, seen)
	checkNumbers(t, logged(t, g, "busy", "main", "0"), "line ", 0)
	checkNumbers(t, logged(t, g, "busy", "terminal", "0"), "tty ", kills)
}

// checkFailing wants every end of the container that fails: its code, its place in
// the count, and the back-off before the next.
func checkFailing(t *testing.T, g *ground.Ground, seen string) {
	t.Helper()
	ground.Until(t, "the back-off of the failing container", func() bool {
		return containerOf(t, podOf(t, g, "busy"), "failing").State.Waiting != nil
	})
	c, starts := containerOf(t, podOf(t, g, "busy"), "failing"), strings.Fields(textOf(t, seen, "starts"))
	last := c.LastTerminationState.Terminated
	if int(c.RestartCount) != len(starts)-1 || last == nil || int(last.ExitCode) != 10+len(starts) {
		t.Errorf("failing: %d starts, %d restarts, last end %+v", len(starts), c.RestartCount, last)
		tally(monitorDies, "exit codes lost", 1)
	}
	if got, want := logged(t, g, "busy", "failing", strconv.Itoa(len(starts)-1)), fmt.Sprintf("start %d", len(starts)); len(got) != 1 || got[0] != want {
		t.Errorf("failing: its last log is %q, want %q", got, want)
	}
	for i, least := range []int{0, 10, 20, 40} { // of seconds between its starts
		if i+1 >= len(starts) {
			break
		}
		a, _ := strconv.Atoi(starts[i])
		b, _ := strconv.Atoi(starts[i+1])
		if gap := b - a; gap < least || gap > least+15 {
			t.Errorf("failing: start %d came %d s after the one before, want %d", i+2, gap, least)
		}
	}
}

var numbered = regexp.MustCompile(`^(\D+)(\d+)\r?$`)

// checkNumbers wants the lines in order, each once. A terminal may lose what each
// killed monitor had in hand; nothing else may.
func checkNumbers(t *testing.T, lines []string, prefix string, gaps int) {
	t.Helper()
	next, jumped := 0, 0
	for _, line := range lines {
		m := numbered.FindStringSubmatch(line)
		if m == nil || m[1] != prefix {
			jumped++ // cut short
			continue
		}
		n, _ := strconv.Atoi(m[2])
		if n < next {
			t.Fatalf("line %q comes after number %d", line, next-1)
		}
		if n > next {
			jumped++
		}
		next = n + 1
	}
	if jumped > gaps || next == 0 {
		t.Errorf("%s: %d gaps in %d lines, want %d at most", prefix, jumped, len(lines), gaps)
		tally(monitorDies, "bytes lost", jumped)
	}
}
