package sandbox

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Member is a process in a cgroup.
type Member struct {
	PID   int
	Group string // its path in the hierarchy
	dir   string
}

// ProcessesBelow are those in the group and below, in any hierarchy.
func ProcessesBelow(path string) []Member {
	var all []Member
	known := map[int]bool{}
	for _, dir := range directories(path) {
		for _, p := range processesBelow(dir) {
			if p.Group = path + strings.TrimPrefix(p.dir, dir); !known[p.PID] {
				known[p.PID] = true
				all = append(all, p)
			}
		}
	}
	return all
}

func processesBelow(dir string) []Member {
	var all []Member
	filepath.WalkDir(dir, func(sub string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		data, err := os.ReadFile(filepath.Join(sub, "cgroup.procs"))
		if err != nil {
			return nil
		}
		for _, word := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
				all = append(all, Member{PID: pid, dir: sub})
			}
		}
		return nil
	})
	return all
}
