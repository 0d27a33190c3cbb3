package ground

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Process is what the checks read about one.
type Process struct {
	PID, Parent int
	Exe, Title  string
	State       string // one letter, as in /proc/PID/stat
	Start       string // clock ticks since boot: with the pid it names one process for good
	Cgroups     string
}

// Processes are all of the machine. One that ends meanwhile is left out.
func Processes() ([]Process, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var all []Process
	for _, dir := range dirs {
		if p, err := readProcess(dir); err == nil {
			all = append(all, p)
		}
	}
	return all, nil
}

func readProcess(dir string) (Process, error) {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return Process{}, err
	}
	// The name in parentheses may have spaces.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return Process{}, fmt.Errorf("%s/stat has %d fields", dir, len(fields))
	}
	p := Process{State: fields[0], Start: fields[19]}
	if p.PID, err = strconv.Atoi(filepath.Base(dir)); err != nil {
		return Process{}, err
	}
	if p.Parent, err = strconv.Atoi(fields[1]); err != nil {
		return Process{}, err
	}
	p.Exe, _ = os.Readlink(filepath.Join(dir, "exe")) // none: a zombie or a kernel thread
	title, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	p.Title = strings.TrimSpace(strings.ReplaceAll(string(title), "\x00", " "))
	cgroups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
	p.Cgroups = string(cgroups)
	return p, nil
}

// Ended tells whether the process and all of its threads have: the first may be
// a zombie while others still hold the process's files.
func (q Process) Ended() bool {
	dir := filepath.Join("/proc", strconv.Itoa(q.PID))
	now, err := readProcess(dir)
	if err != nil || now.Start != q.Start {
		return true
	}
	threads, err := os.ReadDir(filepath.Join(dir, "task"))
	return now.State == "Z" && (err != nil || len(threads) == 1)
}

// Is tells whether q has the role in the pod of uid, of all processes: pause, monitor,
// first (the first process of a shared PID namespace) or the name of a container.
func (q Process) Is(role, uid string, all []Process) bool {
	if q.State == "Z" {
		return false
	}
	own := q.in(uid+".sandbox", uid+".scope/sandbox")
	pause := strings.HasPrefix(q.Title, "podrun: pod ")
	first := q.Title == "/pause" // of a shared PID namespace
	switch role {
	case "pause":
		return own && pause
	case "monitor":
		return own && !pause && !first
	case "first":
		return own && first
	}
	// A container's first process is a child of the pod's own ones.
	return q.in(uid+"/"+role+".", uid+".scope/pod/"+role+".") && slices.ContainsFunc(all, func(parent Process) bool {
		return parent.PID == q.Parent && parent.in(uid+".sandbox", uid+".scope/sandbox")
	})
}

// in tells whether the process is in a cgroup of one of the names, of which the second
// is that below a scope of systemd's.
func (q Process) in(group, ofScope string) bool {
	return strings.Contains(q.Cgroups, "/"+group) || strings.Contains(q.Cgroups, "-"+ofScope)
}
