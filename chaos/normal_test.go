package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"podrun/ground"
)

// normal leaves out of what a process says of itself what differs from one pod,
// kernel or machine to the next. Where a value has to be one of this machine's it
// is compared here, and the list has a word in angle brackets for it.
type normal struct {
	g       *ground.Ground
	uid     string
	machine string // a process of the machine's own namespaces
	pause   string
}

func newNormal(t *testing.T, g *ground.Ground, pod string) normal {
	uid, err := g.UID(pod)
	if err != nil {
		t.Fatal(err)
	}
	all, err := ground.Processes()
	if err != nil {
		t.Fatal(err)
	}
	n := normal{g: g, uid: uid, machine: "self"}
	for _, p := range all {
		if p.Is("pause", uid, all) {
			n.pause = strconv.Itoa(p.PID)
		}
	}
	return n
}

// list is the golden list of what facts has printed.
func (n normal) list(facts string) string {
	var lines []string
	section := ""
	for line := range strings.Lines(facts) {
		line = strings.TrimRight(line, " \n")
		if title, found := strings.CutPrefix(line, "== "); found {
			section = title
		} else {
			line = n.line(section, line)
		}
		if line != "" && !slices.Contains(lines[max(0, len(lines)-1):], line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

var (
	pipeNumber   = regexp.MustCompile(`pipe:\[\d+\]`)
	fieldsLeft   = regexp.MustCompile(`^(Name|State|N?S?[Tt]gid|Ngid|N?S?[Pp]id|NSpgid|NSsid|FDSize|Kthread|Vm.*|Rss.*|HugetlbPages|CoreDumping|untag_mask|SigQ|Spec.*|x86_.*|.*ctxt_switches):`)
	mountHead    = regexp.MustCompile(`^\d+ \d+ \d+:\d+ `)
	mountPeer    = regexp.MustCompile(`(shared|master|propagate_from):\d+`)
	ownID        = regexp.MustCompile(`([ug]id)=(\d{10})`)
	machineFiles = regexp.MustCompile(` - devtmpfs .*`)
	overlayDirs  = regexp.MustCompile(`(lowerdir\+?|upperdir|workdir)=[^,]*`)
	containerDir = regexp.MustCompile(`/containers/[a-z]+\.\d/`)
	keyRing      = regexp.MustCompile(`session: keyring;(\d+;\d+);[0-9a-f]+;_ses\.\S+`)
	ownMap       = regexp.MustCompile(`^ +0 +(\d+) +65536$`)
)

func (n normal) line(section, line string) string {
	switch section {
	case "fd":
		// The null device of a first process is also open for writing.
		return strings.Replace(pipeNumber.ReplaceAllString(line, "pipe"), "0 -> /dev/null mode 2", "0 -> /dev/null mode 0", 1)
	case "status":
		return n.status(line)
	case "mountinfo":
		return n.mount(line)
	case "limits":
		return limit(line)
	case "cgroup":
		return n.cgroup(line)
	case "loginuid", "sessionid":
		return strings.Replace(line, "No such file or directory", "4294967295", 1) // a kernel without audit
	case "uid_map", "gid_map":
		if m := ownMap.FindStringSubmatch(line); m != nil {
			if first, err := strconv.Atoi(m[1]); err == nil && first >= 0x70000000 {
				return "0 <ids of the pod's own> 65536"
			}
		}
	case "prctl":
		if strings.HasPrefix(line, "io flusher") {
			return strings.Replace(line, "-1", "0", 1) // without CAP_SYS_RESOURCE it is not told
		}
	case "scheduling":
		if fields := strings.Fields(line); fields[0] == "cpus" && fields[1] == fields[3] {
			return "cpus <all>"
		}
	case "keyring":
		return keyRing.ReplaceAllString(line, "session: keyring;$1;<its own>")
	case "ns":
		return n.namespace(line)
	}
	return line
}

func (n normal) status(line string) string {
	if fieldsLeft.MatchString(line) {
		return ""
	}
	name, _, _ := strings.Cut(line, ":")
	own, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err.Error()
	}
	switch name {
	case "CapPrm", "CapEff", "CapBnd", "Cpus_allowed", "Cpus_allowed_list", "Mems_allowed", "Mems_allowed_list":
		if strings.Contains(string(own), "\n"+line+"\n") {
			return name + ":\t<the machine's>"
		}
	}
	return line
}

// masked are the paths that a container may not see, of which every machine has
// some: see TestMaskedPaths of runtime.
var masked = []string{
	"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
	"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
}

// mount is a line without the numbers, and without what belongs to the file
// system of the machine that podrun's root is on.
func (n normal) mount(line string) string {
	line = mountPeer.ReplaceAllString(mountHead.ReplaceAllString(line, ""), "$1")
	line = overlayDirs.ReplaceAllString(line, "$1=<podrun's>")
	line = strings.NewReplacer(n.g.Store.Root, "<root>", n.g.Store.RunRoot, "<run>", n.uid, "<uid>", n.g.Store.Instance, "<instance>").Replace(line)
	line = containerDir.ReplaceAllString(line, "/containers/<container>/")
	line = machineFiles.ReplaceAllString(ownID.ReplaceAllStringFunc(line, inOwnIDs), " - <the machine's devices>")
	fields := strings.Fields(line)
	if len(fields) < 6 {
		return line
	}
	place := fields[1]
	switch {
	case slices.Contains(masked, place) || strings.HasSuffix(place, "/thermal_throttle"):
		return "<masked paths>"
	case place == "/sys/fs/cgroup" || strings.HasPrefix(place, "/sys/fs/cgroup/"):
		return n.cgroupMount(fields)
	case fields[0] == "/" || strings.HasPrefix(place, "/proc/") || strings.HasPrefix(place, "/dev/") && !strings.HasPrefix(fields[0], "<"):
		return line
	case !strings.HasPrefix(fields[0], "<root>/"): // /tmp as a mount of its own has other roots
		if i := strings.Index(fields[0], "/pods/<uid>/"); i >= 0 {
			line = strings.Replace(line, fields[0], "<root>"+fields[0][i:], 1)
		}
	}
	before, _, _ := strings.Cut(line, " - ")
	return before + " - <the file system of podrun's root>"
}

// inOwnIDs is uid=N, where N is one of 65,536 ids of a pod's own, as the pod has it.
func inOwnIDs(text string) string {
	m := ownID.FindStringSubmatch(text)
	id, err := strconv.Atoi(m[2])
	if err != nil || id < 0x70000000 {
		return text
	}
	return fmt.Sprintf("%s=<its own %d>", m[1], (id-0x70000000)%65536)
}

// cgroupMount shows whose cgroups are mounted, and how. On v1 there is one for
// each controller below a tmpfs, on v2 one that a namespace makes the root.
func (n normal) cgroupMount(fields []string) string {
	own := regexp.MustCompile(`^(/|/podrun/<instance>/<uid>/[a-z]+\.\d|/podrun.slice/podrun-<instance>-<uid>.scope/pod/[a-z]+\.\d)$`)
	if !own.MatchString(fields[0]) {
		return strings.Join(fields, " ")
	}
	if fields[1] == "/sys/fs/cgroup" && slices.Contains(fields, "tmpfs") {
		return ""
	}
	return "<cgroups of the container> " + fields[2]
}

func (n normal) cgroup(line string) string {
	pod := `(/podrun/` + n.g.Store.Instance + `/` + n.uid + `|/podrun.slice/podrun-` + n.g.Store.Instance + `-` + n.uid + `.scope/pod)`
	own := regexp.MustCompile(`^\d+:[a-z=,_]*:` + pod + `/[a-z]+\.\d(/podrun-exec-\S+)?$`)
	if own.MatchString(line) || line == "0::/" && unified() {
		return "<cgroups of the container>"
	}
	return line
}

func unified() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

func (n normal) namespace(line string) string {
	kind, _, _ := strings.Cut(line, ":")
	of := func(pid string) string {
		target, _ := os.Readlink(filepath.Join("/proc", pid, "ns", kind))
		return target
	}
	switch line {
	case of(n.machine):
		return kind + " the machine's"
	case of(n.pause):
		return kind + " the pod's"
	}
	return kind + " its own"
}

// limits are those that a container has, as far as the hard limits of the machine
// let podrun raise them.
var limits = map[string]struct {
	what       int
	soft, hard uint64
}{
	"Max stack size":      {unix.RLIMIT_STACK, 8 << 20, unix.RLIM_INFINITY},
	"Max processes":       {unix.RLIMIT_NPROC, unix.RLIM_INFINITY, unix.RLIM_INFINITY},
	"Max open files":      {unix.RLIMIT_NOFILE, 1 << 20, 1 << 20},
	"Max locked memory":   {unix.RLIMIT_MEMLOCK, 8 << 20, 8 << 20},
	"Max msgqueue size":   {unix.RLIMIT_MSGQUEUE, 819200, 819200},
	"Max pending signals": {unix.RLIMIT_SIGPENDING, unix.RLIM_INFINITY, unix.RLIM_INFINITY},
}

var columns = regexp.MustCompile(`  +`)

func limit(line string) string {
	words := columns.Split(line, -1)
	wanted, known := limits[words[0]]
	if !known || len(words) < 3 {
		return strings.Join(words, ", ")
	}
	soft, hard := wanted.soft, wanted.hard
	if wanted.what == unix.RLIMIT_SIGPENDING || !raisesLimits() {
		var own syscall.Rlimit
		if err := unix.Prlimit(1, wanted.what, nil, (*unix.Rlimit)(&own)); err != nil {
			return err.Error()
		}
		if wanted.what != unix.RLIMIT_SIGPENDING {
			if err := syscall.Getrlimit(wanted.what, &own); err != nil {
				return err.Error()
			}
		}
		hard = min(hard, own.Max)
		soft = min(soft, hard)
	}
	if words[1] == number(soft) && words[2] == number(hard) {
		return words[0] + ", <podrun's>"
	}
	return fmt.Sprintf("%s, %s, %s instead of %s, %s", words[0], words[1], words[2], number(soft), number(hard))
}

func number(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

// raisesLimits tells whether root of this machine may exceed hard limits.
func raisesLimits() bool {
	has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_SYS_RESOURCE, 0, 0, 0)
	return err == nil && has == 1
}
