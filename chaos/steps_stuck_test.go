package chaos

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"podrun/ground"
)

// What is shown of each file, from its end: a monitor has some twenty goroutines.
const (
	shownTrace = 4 << 10
	shownLog   = 96 << 10
)

// tellStuck tells what may explain why a session does not go on: the order and the
// last steps, and of each pod its status and where its monitor is in its program.
// That ends the monitor.
func (s *session) tellStuck() {
	s.Helper()
	s.Logf("ordered to end at:\n%s\nthe last steps:\n%s", s.step.line, fileEnd(s.g.trace(), shownTrace))
	refs, err := s.g.Store.Names("")
	if err != nil {
		s.Log(err)
	}
	for _, ref := range refs {
		s.askMonitor(ref.UID)
		s.Logf("pod %s/%s, status.json:\n%s\nmonitor.log:\n%s", ref.Namespace, ref.Name,
			fileEnd(filepath.Join(s.g.Store.PodDir(ref.UID), "status.json"), shownLog),
			fileEnd(filepath.Join(s.g.Store.RunDir(ref.UID), "monitor.log"), shownLog))
	}
}

// askMonitor has the pod's monitor write its goroutines to its log.
func (s *session) askMonitor(uid string) {
	all, err := ground.Processes()
	i := slices.IndexFunc(all, func(p ground.Process) bool { return p.Is("monitor", uid, all) })
	if err != nil || i < 0 {
		s.Logf("the pod has no monitor (%v)", err)
		return
	}
	syscall.Kill(all[i].PID, syscall.SIGQUIT)
	for range 200 {
		if all[i].Ended() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func fileEnd(path string, most int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-most):]))
}
