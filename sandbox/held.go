package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Held are the processes in the cgroups of one pod. A pod without any has empty
// cgroups.
type Held struct {
	Keepers    []int // pause, monitor and what they have started for themselves
	Containers []int
}

// HeldBy finds the cgroups of an instance's pods, by uid, whoever knows of them.
func HeldBy(instance string) map[string]*Held {
	all := map[string]*Held{}
	of := func(uid string) *Held {
		if all[uid] == nil {
			all[uid] = &Held{}
		}
		return all[uid]
	}
	for _, top := range hierarchies() {
		for _, dir := range subdirectories(filepath.Join(top, cgroupTop, instance)) {
			uid, keepers := strings.CutSuffix(filepath.Base(dir), ".sandbox")
			of(uid).add(dir, keepers)
		}
		for _, dir := range subdirectories(filepath.Join(top, sliceName)) {
			uid, ours := strings.CutPrefix(filepath.Base(dir), "podrun-"+instance+"-")
			uid, scope := strings.CutSuffix(uid, ".scope")
			if !ours || !scope {
				continue
			}
			of(uid).add(filepath.Join(dir, "pod"), false)
			of(uid).add(filepath.Join(dir, "sandbox"), true)
		}
	}
	for _, h := range all {
		for _, list := range []*[]int{&h.Keepers, &h.Containers} {
			slices.Sort(*list)
			*list = slices.Compact(*list) // the same in every hierarchy
		}
	}
	return all
}

func (h *Held) add(dir string, keepers bool) {
	list := &h.Containers
	if keepers {
		list = &h.Keepers
	}
	for _, p := range processesBelow(dir) {
		*list = append(*list, p.PID)
	}
}

func subdirectories(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(dir, e.Name()))
		}
	}
	return dirs
}
