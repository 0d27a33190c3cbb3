package monitor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"podrun/pod"
	"podrun/state"
)

// The pod's life gives up the removal of an attempt that fails again and again, so
// that the container can go on. What is in the way may pass: until the pod goes,
// what is left would take up the disk and nobody would know it.

// RootsDir holds the root file systems of a pod's containers.
func RootsDir(s *state.Store, uid string) string { return filepath.Join(s.PodDir(uid), "containers") }

// Residue are the attempts of a pod of which something is left, though their
// containers have gone on to later ones.
func Residue(s *state.Store, uid string, containers []pod.Record) []string {
	var list []string
	for _, dir := range []string{StateDir(s, uid), RootsDir(s, uid)} {
		entries, _ := os.ReadDir(dir) // none: nothing is left
		for _, e := range entries {
			name, number, ok := parseID(e.Name())
			past := func(r pod.Record) bool { return r.Name == name && number < r.Attempt }
			if ok && slices.ContainsFunc(containers, past) && !slices.Contains(list, e.Name()) {
				list = append(list, e.Name())
			}
		}
	}
	return list
}

// parseID is the inverse of ID.
func parseID(id string) (container string, number int, ok bool) {
	at := strings.LastIndexByte(id, '.')
	if at <= 0 {
		return "", 0, false
	}
	number, err := strconv.Atoi(id[at+1:])
	return id[:at], number, err == nil && ID(id[:at], number) == id
}

// removeResidue tries again to remove what is left, and tells once of what cannot be.
func (g *mender) removeResidue() {
	const what = "residue"
	status := g.checkpoint.last()
	failed := false
	for _, id := range Residue(g.store, g.uid(), status.Containers) {
		name, number, _ := parseID(id)
		err := containers{g.monitor}.Remove(name, number)
		if err == nil {
			continue
		}
		failed = true
		if g.failures[what]++; g.failures[what] > 1 {
			continue
		}
		message := fmt.Sprintf("Something of container %s is left that cannot be removed, and is tried again every %v: %v", id, mendPeriod, err)
		fmt.Fprintf(os.Stderr, "podrun: %s\n", message)
		g.event(pod.Event{Time: time.Now(), Type: v1.EventTypeWarning, Reason: "FailedRemoval", Message: message})
	}
	if !failed {
		delete(g.failures, what)
	}
}

// removeParts removes what monitors have left that were killed as they wrote the
// record or the status.
func (m *monitor) removeParts() {
	m.recordFile.mu.Lock()
	defer m.recordFile.mu.Unlock()
	m.checkpoint.mu.Lock()
	defer m.checkpoint.mu.Unlock()
	if err := state.RemoveParts(m.store.PodDir(m.uid())); err != nil {
		fmt.Fprintf(os.Stderr, "podrun: remove what a killed monitor has left: %v\n", err)
	}
}
