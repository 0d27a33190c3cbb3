package monitor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"podrun/sandbox"
	"podrun/state"
	"podrun/step"
)

const monitorTitle = "podrun: monitor of "

// arguments are those of the monitor of a pod; the first is its title in ps(1).
func arguments(s *state.Store, r *state.Record) []string {
	return []string{
		monitorTitle + r.Pod.Namespace + "/" + r.Pod.Name,
		"--root", s.Root, "--run-root", s.RunRoot, "--log-dir", s.LogDir, "monitor", r.UID(),
	}
}

// Asked reads such arguments; ok says that they are.
func Asked(args []string) (c state.Config, uid string, ok bool) {
	if len(args) != 9 || !strings.HasPrefix(args[0], monitorTitle) || args[7] != "monitor" {
		return c, "", false
	}
	return state.Config{Root: args[2], RunRoot: args[4], LogDir: args[6]}, args[8], true
}

// Monitors finds the monitors of a store's pods by their arguments: pids by uid. One
// that takes its sandbox down is in no cgroup of the pod any more.
func Monitors(s *state.Store) (map[string][]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	found := map[string][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if uid := monitorOf(s, pid); uid != "" {
			found[uid] = append(found[uid], pid)
		}
	}
	return found, nil
}

// monitorOf is the uid of the pod whose monitor the process is, or empty.
func monitorOf(s *state.Store, pid int) string {
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || !bytes.HasPrefix(line, []byte(monitorTitle)) {
		return ""
	}
	config, uid, ok := Asked(strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00"))
	if !ok || config.Root != s.Root {
		return ""
	}
	return uid
}

// killMonitors kills the monitors of a pod, wherever they are, and waits until they
// have ended.
func killMonitors(s *state.Store, uid string, wait time.Duration) error {
	defer step.Change("kill monitors")()
	for deadline := time.Now().Add(wait); ; time.Sleep(time.Millisecond) {
		all, err := Monitors(s)
		if err != nil {
			return err
		}
		pids := all[uid]
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("kill the pod's monitor: process %d does not end: it waits for the kernel", pids[0])
		}
		for _, pid := range pids {
			sandbox.KillIf(pid, func() bool { return monitorOf(s, pid) == uid })
		}
	}
}
