package chaos

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"podrun/ground"
)

var talker = quickPod("talker-%[1]s", `
  restartPolicy: Never
  containers: [{name: main, image: attack, imagePullPolicy: Never, command: [/attack, talk, -bytes, "%[2]d", %[1]s]}]
`)

// Bounds of what a container's output may cost, in bytes.
const (
	maxMonitorGrowth = 24 << 20
	maxReader        = 96 << 20
	maxOnDisk        = 6 * 10 << 20 // five files of 10 MiB, and one that is being made
)

// TestHostileLogs lets containers print what logs are not made for: a line of a
// gigabyte, lines without text, and as fast as they can. Neither memory nor disk is
// theirs to take.
func TestHostileLogs(t *testing.T) {
	a := newAttacker(t)
	for _, c := range []struct {
		kind  string
		bytes int64
	}{{"line", 1 << 30}, {"fast", 256 << 20}, {"short", 8 << 20}} {
		a.mustUp(fmt.Sprintf(talker, c.kind, c.bytes))
		pod := "talker-" + c.kind
		start := a.peak(pod)
		highest, largest := start, int64(0)
		ground.Until(t, "the end of "+pod, func() bool {
			highest, largest = max(highest, a.peak(pod)), max(largest, sizeOf(a.Store.LogDir))
			return strings.Contains(a.Run("ps", pod).Stdout, "Completed")
		})
		t.Logf("%s: the monitor grew by %d kB, logs by %d kB", c.kind, (highest-start)>>10, largest>>10)
		tried(t, c.kind+": memory of the monitor", unless(highest-start < maxMonitorGrowth, fmt.Sprint(highest-start, " bytes more")))
		tried(t, c.kind+": logs on disk", unless(largest < maxOnDisk, fmt.Sprint(largest, " bytes")))
		for _, flags := range [][]string{{"--timestamps"}, {"--tail", "3"}} {
			cmd := a.Command(append([]string{"logs", pod}, flags...)...)
			cmd.Stdout = io.Discard
			used, err := measured(cmd)
			if err != nil {
				t.Errorf("%s: logs %s: %v", c.kind, flags, err)
			}
			tried(t, c.kind+": memory of logs", unless(used < maxReader, fmt.Sprint(used, " bytes")))
		}
		a.down(pod)
	}
}

// peak is the most memory that the pod's monitor has had, in bytes; 0 if it is gone.
func (a *attacker) peak(pod string) int64 {
	uid, err := a.UID(pod)
	if err != nil {
		return 0
	}
	all, err := ground.Processes()
	if err != nil {
		a.t.Fatal(err)
	}
	for _, p := range all {
		if !p.Is("monitor", uid, all) {
			continue
		}
		return peakOf(p.PID)
	}
	return 0
}

func peakOf(pid int) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kilobytes int64
	fmt.Sscan(rest, &kilobytes)
	return kilobytes << 10
}

// measured runs a command and returns the most memory that it has had. Its rusage has
// that of the process that it was forked from.
func measured(cmd *exec.Cmd) (peak int64, err error) {
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error)
	go func() { ended <- cmd.Wait() }()
	for first := peakOf(os.Getpid()); ; {
		select {
		case err := <-ended:
			return peak, err
		case <-time.After(2 * time.Millisecond):
			if now := peakOf(cmd.Process.Pid); now != first { // before its exec it is this process
				peak = max(peak, now)
			}
		}
	}
}

// sizeOf is what all files below a directory hold.
func sizeOf(dir string) (size int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}

var probed = quickPod("probed", `
  containers:
  - name: main
    image: attack
    imagePullPolicy: Never
    command: [sh, -c, "rm /etc/passwd /etc/group; mkfifo /etc/passwd /etc/group; /attack talk -bytes 100000000 line >/dev/termination-log; sleep 3600"]
    livenessProbe: {exec: {command: [/attack, talk, line]}, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 2}
`)

// TestHostileProbes: a probe that prints for ever, in a container that would hold up
// whoever enters it, fails in its time and costs no memory.
func TestHostileProbes(t *testing.T) {
	a := newAttacker(t)
	a.mustUp(probed)
	start := a.peak("probed")
	began := time.Now()
	ground.Until(t, "a restart", func() bool {
		return strings.Contains(a.Run("ps", "probed", "-o", "yaml").Stdout, "restartCount: 1")
	})
	grown := a.peak("probed") - start
	t.Logf("restarted after %v, the monitor grew by %d kB", time.Since(began), grown>>10)
	tried(t, "a probe that prints for ever", unless(grown < maxMonitorGrowth, fmt.Sprint(grown, " bytes more")))
	a.down("probed")
}

var forger = quickPod("forger", `
  restartPolicy: Never
  containers:
  - name: main
    image: attack
    imagePullPolicy: Never
    command: [sh, -c, 'echo "2020-01-01T00:00:00.000000000Z stderr F forged"; printf "2020-01-01T00:00:00.000000000Z stdout P half"; printf "\000\377\033"; ls -R /var/log /proc/1/root/var/log 2>/dev/null | grep log$; true']
`)

// TestForgedLogs: a container cannot write records, reach the files of its log or cut
// lines by what it prints.
func TestForgedLogs(t *testing.T) {
	a := newAttacker(t)
	a.mustUp(forger)
	a.untilEnded("forger")
	out := a.Must(t, "logs", "forger")
	want := "2020-01-01T00:00:00.000000000Z stderr F forged\n2020-01-01T00:00:00.000000000Z stdout P half\x00\xff\x1b"
	tried(t, "a forged record", unless(strings.TrimSuffix(out, "\n") == want, fmt.Sprintf("%q", out)))
	out = a.Must(t, "logs", "--timestamps", "forger")
	tried(t, "a forged time", unless(!strings.HasPrefix(out, "2020") && !strings.Contains(out, "\n2020"), fmt.Sprintf("%q", out)))
	a.down("forger")
}
