package ground

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Leaks names everything that a ground's pods have left on the machine, one line
// each: what `podrun down` promises not to leave. Claims and images are meant to stay.
func (g *Ground) Leaks() []string {
	left, err := g.Host.Leftovers()
	if err != nil {
		left = append(left, err.Error())
	}
	for _, list := range []func() ([]string, error){g.leftMounts, g.leftCgroups, g.leftProcesses, g.leftFiles} {
		found, err := list()
		left = append(left, found...)
		if err != nil {
			left = append(left, err.Error())
		}
	}
	return left
}

func (g *Ground) leftMounts() ([]string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	var left []string
	for line := range strings.Lines(string(table)) {
		if strings.Contains(line, g.Dir+"/") {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	return left, err
}

// leftCgroups looks into every hierarchy of cgroup v1 and v2, and at the scopes of systemd.
func (g *Ground) leftCgroups() ([]string, error) {
	var left []string
	for _, pattern := range []string{
		"/sys/fs/cgroup/podrun/%s", "/sys/fs/cgroup/*/podrun/%s",
		"/sys/fs/cgroup/podrun.slice/podrun-%s-*.scope",
	} {
		found, err := filepath.Glob(fmt.Sprintf(pattern, g.Store.Instance))
		if err != nil {
			return left, err
		}
		for _, dir := range found {
			err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					left = append(left, "cgroup "+path)
				}
				return err
			})
			if err != nil && !os.IsNotExist(err) {
				return left, err
			}
		}
	}
	return left, nil
}

// leftProcesses knows the ground's processes by their binary, its roots in their
// titles, and their cgroups. Not counted: what the script itself has in the
// background, and zombies that wait for the machine's init, or for a parent that is
// one but for a last thread.
func (g *Ground) leftProcesses() ([]string, error) {
	all, err := Processes()
	ended := map[int]bool{1: true}
	for _, q := range all {
		ended[q.PID] = ended[q.PID] || q.State == "Z"
	}
	var left []string
	for _, q := range all {
		ours := strings.HasPrefix(q.Exe, g.Binary) || strings.Contains(q.Title, g.Dir+"/") || q.in("podrun/"+g.Store.Instance, g.Store.Instance+"-")
		if !ours || q.Parent == os.Getpid() || q.State == "Z" && ended[q.Parent] {
			continue
		}
		left = append(left, fmt.Sprintf("process %d (parent %d, state %s): %s", q.PID, q.Parent, q.State, q.Title))
	}
	return left, err
}

// leftFiles finds everything below the directories of pods. Files whose names
// start with a dot are podrun's own notes.
func (g *Ground) leftFiles() ([]string, error) {
	var left []string
	for _, top := range []string{
		filepath.Join(g.Store.Root, "pods"), filepath.Join(g.Store.Root, "names"),
		filepath.Join(g.Store.RunRoot, "pods"), g.Store.LogDir,
	} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			if err == nil && path != top && !strings.HasPrefix(d.Name(), ".") {
				left = append(left, "file "+path)
			}
			return err
		})
		if err != nil {
			return left, err
		}
	}
	return left, nil
}
