package chaos

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/ground"
)

// patience is how long a session waits for what has to come: no test of speed.
const patience = time.Minute

// pod is what podrun says of one.
func (s *session) pod(name string) *v1.Pod {
	s.Helper()
	r, _ := s.try("get", "pod", name, "-o", "json")
	var p v1.Pod
	if r.Code != 0 {
		s.Fatal(r)
	}
	if err := json.Unmarshal([]byte(r.Stdout), &p); err != nil {
		s.Fatalf("decode %s: %v", r, err)
	}
	return &p
}

// runs are the first processes of the containers, each of which has to be there
// once, with the pod's pause and monitor.
func (s *session) runs(pod string, containers ...string) map[string]ground.Process {
	s.Helper()
	uid, err := s.g.UID(pod)
	if err != nil {
		s.Fatal(err)
	}
	var missing []string
	for start := time.Now(); time.Since(start) < patience; time.Sleep(5 * time.Millisecond) {
		all, err := ground.Processes()
		if err != nil {
			s.Fatal(err)
		}
		found := map[string]ground.Process{}
		missing = nil
		for _, role := range append([]string{"pause", "monitor"}, containers...) {
			of := slices.DeleteFunc(slices.Clone(all), func(p ground.Process) bool { return !p.Is(role, uid, all) })
			if len(of) != 1 {
				missing = append(missing, fmt.Sprintf("%d processes are %s of pod %s, want 1: %v", len(of), role, pod, of))
				continue
			}
			found[role] = of[0]
		}
		if len(missing) == 0 {
			delete(found, "monitor")
			return found
		}
	}
	s.tellStuck()
	s.Fatal(strings.Join(missing, "\n"))
	return nil
}

// same asserts that containers that ran still run.
func (s *session) same(before, after map[string]ground.Process) {
	s.Helper()
	for role, b := range before {
		if a := after[role]; a.PID != b.PID || a.Start != b.Start {
			s.Errorf("%s is process %d of %s, was process %d of %s", role, a.PID, a.Start, b.PID, b.Start)
		}
	}
}

// restarts asserts how often a container was started again.
func (s *session) restarts(pod, container string, want int32) {
	s.Helper()
	p := s.pod(pod)
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if c.Name == container && c.RestartCount != want {
			s.Errorf("container %s was restarted %d times, want %d", container, c.RestartCount, want)
		}
	}
}

// wrote asserts that the log of an attempt has the numbers from 1 to n, each once and
// in order, and nothing else.
func (s *session) wrote(pod, container string, attempt, n int) {
	s.Helper()
	uid, err := s.g.UID(pod)
	if err != nil {
		s.Fatal(err)
	}
	file := filepath.Join(s.g.Store.LogDir, "default_"+pod+"_"+uid, container, strconv.Itoa(attempt)+".log")
	var got []string
	for start := time.Now(); time.Since(start) < patience; time.Sleep(5 * time.Millisecond) {
		if got = loggedLines(s, file); len(got) >= n {
			break
		}
	}
	s.counted(got, n)
}

// counted asserts that the lines are the numbers from 1 to n.
func (s *session) counted(got []string, n int) {
	s.Helper()
	for i := range max(len(got), n) {
		switch {
		case i >= len(got):
			tally(killClass, "lines lost", n-i)
			s.Errorf("the log ends after %d lines of %d", i, n)
			return
		case got[i] != strconv.Itoa(i+1):
			tally(killClass, "lines lost", 1)
			s.Errorf("line %d of the log is %q", i+1, got[i])
			return
		}
	}
}

// loggedLines are the lines of a log in the format of the kubelet, without time and stream.
func loggedLines(s *session, file string) []string {
	s.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(fields) != 4 || fields[2] != "F" || !strings.HasSuffix(line, "\n") {
			return append(lines, line) // being written
		}
		lines = append(lines, fields[3])
	}
	return lines
}

// ended asserts how an attempt of a container has ended, once it has.
func (s *session) ended(pod, container string, restarts, code int32) {
	s.Helper()
	var last *v1.ContainerStatus
	for start := time.Now(); time.Since(start) < patience; time.Sleep(20 * time.Millisecond) {
		if last = s.status(pod, container); last != nil && last.State.Terminated != nil {
			break
		}
	}
	if last == nil || last.State.Terminated == nil {
		s.Fatalf("container %s has not ended: %+v", container, last)
	}
	if got := last.State.Terminated; got.ExitCode != code || last.RestartCount != restarts {
		s.Errorf("container %s ended with %d (%s: %s) after %d restarts, want %d after %d", container, got.ExitCode, got.Reason, got.Message, last.RestartCount, code, restarts)
	}
}

// endedBefore asserts how the attempt before the one that runs has ended.
func (s *session) endedBefore(pod, container string, code int32) {
	s.Helper()
	last := s.status(pod, container)
	if last == nil || last.LastTerminationState.Terminated == nil || last.LastTerminationState.Terminated.ExitCode != code {
		s.Errorf("container %s ended with %+v before, want code %d", container, last, code)
	}
}

func (s *session) status(pod, container string) *v1.ContainerStatus {
	s.Helper()
	p := s.pod(pod)
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if c.Name == container {
			return &c
		}
	}
	return nil
}

func (s *session) untilPhase(pod string, want v1.PodPhase) {
	s.Helper()
	var got v1.PodPhase
	for start := time.Now(); time.Since(start) < patience; time.Sleep(20 * time.Millisecond) {
		if got = s.pod(pod).Status.Phase; got == want {
			return
		}
	}
	s.Errorf("pod %s is %s, want %s", pod, got, want)
}

// prints asserts what a command prints.
func (s *session) prints(want string, args ...string) {
	s.Helper()
	if got := s.exits(0, args...); got != want {
		s.Errorf("podrun %s printed %q, want %q", strings.Join(args, " "), got, want)
	}
}

// find is the one process of the pod that has the role; nil if there is none.
func (s *session) find(pod, role string) *ground.Process {
	s.Helper()
	uid, err := s.g.UID(pod)
	if err != nil {
		s.Fatal(err)
	}
	all, err := ground.Processes()
	if err != nil {
		s.Fatal(err)
	}
	for _, p := range all {
		if p.Is(role, uid, all) {
			return &p
		}
	}
	return nil
}

// serves asserts that the host port leads into the pod.
func (s *session) serves() {
	s.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var last error
	s.until("an answer from the host port", func() bool {
		answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/passwd", s.g.port))
		if last = err; err != nil {
			return false
		}
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	if last != nil {
		s.Error(last)
	}
}

// kill ends the pod's process of the role, if one lives.
func (s *session) kill(pod, role string) {
	s.Helper()
	p := s.find(pod, role)
	if p == nil {
		return // killed at the step, a moment ago
	}
	syscall.Kill(p.PID, syscall.SIGKILL)
	s.until("the end of "+role, p.Ended)
}

// loses kills all who keep the pod. A monitor that is stopped first starts nothing.
func (s *session) loses(pod string) {
	s.Helper()
	s.begin()
	for s.kept(pod) {
		monitor := s.find(pod, "monitor")
		if monitor != nil {
			syscall.Kill(monitor.PID, syscall.SIGSTOP)
		}
		s.kill(pod, "pause")
		if monitor != nil {
			syscall.Kill(monitor.PID, syscall.SIGKILL)
			s.until("the end of the monitor", monitor.Ended)
		}
	}
}

func (s *session) kept(pod string) bool {
	return s.find(pod, "pause") != nil || s.find(pod, "monitor") != nil
}

// untilKept returns when the pod has pause and monitor again, or nobody any more.
func (s *session) untilKept(pod string) {
	s.Helper()
	s.until("the next sandbox", func() bool {
		pause, monitor := s.find(pod, "pause"), s.find(pod, "monitor")
		return (pause == nil) == (monitor == nil)
	})
}

func (s *session) until(what string, done func() bool) {
	s.Helper()
	for start := time.Now(); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > patience {
			s.tellStuck()
			s.Fatalf("waited in vain for %s", what)
		}
	}
}
