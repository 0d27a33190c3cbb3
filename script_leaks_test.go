package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// leaks names everything that a place's pods have left on the machine, one line
// each: what `podrun down` promises not to leave. Claims and images are meant to stay.
func (p *place) leaks() []string {
	left, err := p.host.Leftovers()
	if err != nil {
		left = append(left, err.Error())
	}
	for _, list := range []func() ([]string, error){p.leftMounts, p.leftCgroups, p.leftProcesses, p.leftFiles} {
		found, err := list()
		left = append(left, found...)
		if err != nil {
			left = append(left, err.Error())
		}
	}
	return left
}

func (p *place) leftMounts() ([]string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	var left []string
	for line := range strings.Lines(string(table)) {
		if strings.Contains(line, p.dir+"/") {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	return left, err
}

// leftCgroups looks into every hierarchy of cgroup v1 and v2.
func (p *place) leftCgroups() ([]string, error) {
	var left []string
	for _, pattern := range []string{"/sys/fs/cgroup/podrun/%s", "/sys/fs/cgroup/*/podrun/%s"} {
		found, err := filepath.Glob(fmt.Sprintf(pattern, p.store.Instance))
		if err != nil {
			return left, err
		}
		for _, dir := range found {
			left = append(left, "cgroup "+dir)
		}
	}
	return left, nil
}

// process is what the checks read about one.
type process struct {
	pid, parent int
	exe, title  string
	state       string
	start       string // clock ticks since boot: with the pid it names one process for good
	cgroups     string
}

// processes are all of the machine. One that ends meanwhile is left out.
func processes() ([]process, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, dir := range dirs {
		if p, err := readProcess(dir); err == nil {
			all = append(all, p)
		}
	}
	return all, nil
}

func readProcess(dir string) (process, error) {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return process{}, err
	}
	// The name in parentheses may have spaces.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return process{}, fmt.Errorf("%s/stat has %d fields", dir, len(fields))
	}
	p := process{state: fields[0], start: fields[19]}
	if p.pid, err = strconv.Atoi(filepath.Base(dir)); err != nil {
		return process{}, err
	}
	if p.parent, err = strconv.Atoi(fields[1]); err != nil {
		return process{}, err
	}
	p.exe, _ = os.Readlink(filepath.Join(dir, "exe")) // none: a zombie or a kernel thread
	title, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	p.title = strings.TrimSpace(strings.ReplaceAll(string(title), "\x00", " "))
	cgroups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
	p.cgroups = string(cgroups)
	return p, nil
}

// leftProcesses knows the place's processes by their binary, its roots in their
// titles, and their cgroups. Not counted: what the script itself has in the
// background, and zombies that wait for the machine's init.
func (p *place) leftProcesses() ([]string, error) {
	all, err := processes()
	var left []string
	for _, q := range all {
		ours := strings.HasPrefix(q.exe, p.binary) || strings.Contains(q.title, p.dir+"/") || strings.Contains(q.cgroups, "/podrun/"+p.store.Instance)
		if !ours || q.parent == os.Getpid() || q.state == "Z" && q.parent == 1 {
			continue
		}
		left = append(left, fmt.Sprintf("process %d (parent %d, state %s): %s", q.pid, q.parent, q.state, q.title))
	}
	return left, err
}

// leftFiles finds everything below the directories of pods. Files whose names
// start with a dot are podrun's own notes.
func (p *place) leftFiles() ([]string, error) {
	var left []string
	for _, top := range []string{
		filepath.Join(p.store.Root, "pods"), filepath.Join(p.store.Root, "names"),
		filepath.Join(p.store.RunRoot, "pods"), p.store.LogDir,
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
