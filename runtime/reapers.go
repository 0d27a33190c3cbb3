package runtime

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"podrun/step"
)

// A command of podrun exec that has ended is reaped by the podrun that started it.
// Where that one is stopped (Ctrl-Z in a shell), the command stays a zombie, and
// the first process of its PID namespace, whose exit everybody waits for, cannot
// end: zap_pid_ns_processes in the kernel waits until all others are reaped.

// Exiting tells whether the container's first process is on its way out, and so may
// wait for others to be reaped.
func (c *Container) Exiting() bool {
	flags, err := strconv.ParseUint(statField(c.PID(), 9), 10, 64)
	return err == nil && flags&pfExiting != 0
}

// pfExiting is PF_EXITING (linux/sched.h), one of the flags that stat tells.
const pfExiting = 0x4

// WakeReapers lets every stopped podrun go on that has such a command to reap, and
// returns how many. They have nothing else to do: their command has ended.
func WakeReapers() (woken int) {
	own, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return 0
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !isStopped(pid) || !sameProgram(pid, own) {
			continue
		}
		if hasDeadCommand(pid) {
			step.Change("wake a stopped exec")()
			unix.Kill(pid, unix.SIGCONT)
			woken++
		}
	}
	return woken
}

func isStopped(pid int) bool { return statField(pid, 3) == "T" }

// statField is a field of stat, by its number in proc_pid_stat(5), after the second:
// that is the name, which may have blanks and parentheses. It is empty without the process.
func statField(pid, number int) string {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if number-3 >= len(fields) {
		return ""
	}
	return fields[number-3]
}

// sameProgram tells whether the process runs podrun, of this version or another.
func sameProgram(pid int, own string) bool {
	its, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	base := func(path string) string { return filepath.Base(strings.TrimSuffix(path, " (deleted)")) }
	return err == nil && base(its) == base(own)
}

// hasDeadCommand tells whether a child is a zombie of another PID namespace.
func hasDeadCommand(pid int) bool {
	lists, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "children"))
	for _, list := range lists {
		data, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(data)) {
			status, err := os.ReadFile(filepath.Join("/proc", child, "status"))
			if err != nil || !strings.Contains(string(status), "\nState:\tZ") {
				continue
			}
			_, rest, _ := strings.Cut(string(status), "\nNSpid:")
			line, _, _ := strings.Cut(rest, "\n")
			if len(strings.Fields(line)) > 1 {
				return true
			}
		}
	}
	return false
}
