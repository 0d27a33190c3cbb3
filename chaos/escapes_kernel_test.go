package chaos

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"podrun/ground"
)

// attackers are the kinds of pods from which every call and file is tried. All of
// them run as root, with what a manifest gives that asks for nothing, or for less.
var attackers = quickPod("plain", `
  containers:
  - {name: default, image: attack, imagePullPolicy: Never}
  - {name: none, image: attack, imagePullPolicy: Never, securityContext: {capabilities: {drop: [ALL]}}}
  - {name: noescalation, image: attack, imagePullPolicy: Never, securityContext: {allowPrivilegeEscalation: false}}
`) + quickPod("users", `
  hostUsers: false
  containers:
  - {name: default, image: attack, imagePullPolicy: Never}
`) + quickPod("shared", `
  shareProcessNamespace: true
  containers:
  - {name: default, image: attack, imagePullPolicy: Never}
`) + quickPod("machine", `
  hostPID: true
  hostIPC: true
  hostNetwork: true
  containers:
  - {name: default, image: attack, imagePullPolicy: Never}
`)

// guarded are files through which containers got to the machine, or that tell too
// much. None can be written to: those of the kernel's own interfaces because they are
// read-only or hidden, release_agent (CVE-2022-0492) by whatever hierarchy.
const guarded = `/proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/panic_on_oom
/proc/sys/fs/binfmt_misc/register /proc/sys/net/ipv4/ip_forward /proc/kcore /proc/irq/default_smp_affinity
/proc/mtrr /proc/acpi /proc/scsi /sys/kernel/uevent_helper /sys/power/state /sys/module/kernel/parameters/panic
/sys/kernel/mm/transparent_hugepage/enabled /sys/kernel/mm/ksm/run /sys/class/net/lo/mtu
$(find /sys/fs/cgroup -name release_agent -o -name notify_on_release -o -name cgroup.procs -o -name devices.allow -o -name memory.limit_in_bytes -o -name memory.max)`

func TestEscapesByKernelInterfaces(t *testing.T) {
	a := newAttacker(t)
	a.mustUp(attackers)
	for _, where := range [][2]string{
		{"plain", "default"}, {"plain", "none"}, {"plain", "noescalation"}, {"users", "default"}, {"shared", "default"}, {"machine", "default"},
	} {
		pod, container := where[0], where[1]
		at := pod + "/" + container
		calls := a.lines(pod, container, "/attack", "probe")
		if len(calls) < 50 {
			t.Errorf("%s: only %d calls were tried:\n%s", at, len(calls), calls)
		}
		for _, line := range calls {
			tried(t, at+": "+line, worked(line))
		}
		files := a.lines(pod, container, "sh", "-c", "/attack write "+strings.ReplaceAll(guarded, "\n", " "))
		for _, line := range files {
			tried(t, at+": write to "+line, worked(line))
		}
		for _, line := range a.lines(pod, container, "/attack", "devices") {
			// runc lets every container open what /dev/net/tun is; to make a link of
			// it takes CAP_NET_ADMIN.
			if !strings.HasPrefix(line, "tun ") {
				tried(t, at+": open device "+line, worked(line))
			}
		}
	}
	a.readSecrets()
	a.down("plain", "users", "shared", "machine")
}

// lines runs a command and returns what it printed, one try a line.
func (a *attacker) lines(pod, container string, command ...string) []string {
	a.t.Helper()
	out := strings.TrimSpace(a.exec(pod, container, command...))
	return slices.DeleteFunc(strings.Split(out, "\n"), func(line string) bool { return line == "" })
}

// worked says that a try did what it should not.
func worked(line string) string {
	if strings.HasSuffix(line, " done") || !strings.Contains(line, " E") {
		return line
	}
	return ""
}

// readSecrets tries to read what is the machine's alone.
func (a *attacker) readSecrets() {
	for _, c := range []struct{ what, command string }{
		{"the kernel's messages", "dmesg"},
		{"the kernel's memory", "head -c 4096 /proc/kcore | wc -c | grep -v '^0$'"},
		{"keys of other sessions", "cat /proc/keys"},
		{"the machine's firmware", "ls /sys/firmware"},
		{"timers", "cat /proc/timer_list"},
		{"a file of the machine", "cat " + a.secret},
		{"a file of the machine through init", "cat /proc/1/root" + a.secret},
		{"a file of the machine after two chroots", "mkdir -p /tmp/c && chroot /tmp/c true; cat /../../../../.." + a.secret},
	} {
		out := a.Run("exec", "plain", "-c", "default", "--", "sh", "-c", c.command+" 2>/dev/null").Stdout
		tried(a.t, c.what, strings.TrimSpace(out))
	}
}

// TestEscapesAcrossContainers: processes of one pod, and of its containers, are not
// seen by others, nor by name in /proc nor by signals nor by tracing.
func TestEscapesAcrossContainers(t *testing.T) {
	a := newAttacker(t)
	a.mustUp(attackers)
	// With hostPID the machine's processes are seen, and that is all.
	all, err := ground.Processes()
	if err != nil {
		t.Fatal(err)
	}
	pids := []string{"1", strconv.Itoa(os.Getpid())}
	for _, p := range all {
		if strings.HasPrefix(p.Exe, a.Binary) {
			pids = append(pids, strconv.Itoa(p.PID))
		}
	}
	for _, c := range []struct{ what, command string }{
		{"the environment", "cat /proc/$p/environ"},
		{"the root", "ls /proc/$p/root/"},
		{"the working directory", "ls /proc/$p/cwd/"},
		{"the descriptors", "readlink /proc/$p/fd/*"},
		{"the program", "readlink /proc/$p/exe; head -c 4 /proc/$p/exe"},
		{"the memory", "head -c 1 /proc/$p/mem; cat /proc/$p/maps"},
	} {
		out := a.Run("exec", "machine", "-c", "default", "--", "sh", "-c", "for p in "+strings.Join(pids, " ")+"; do "+c.command+"; done 2>/dev/null").Stdout
		tried(t, "hostPID: "+c.what+" of processes "+strings.Join(pids, " "), strings.TrimSpace(out))
	}
	// In a pod of two PID namespaces neither sees the other.
	out := a.exec("plain", "default", "sh", "-c", "ls -d /proc/[0-9]* | wc -l; kill -9 -1; echo alive")
	tried(t, "processes of another container", unless(strings.Contains(out, "alive"), out))
	r := a.Run("exec", "plain", "-c", "none", "--", "true")
	tried(t, "kill -9 -1 reaches another container", unless(r.Code == 0, r.String()))
	a.down("plain", "users", "shared", "machine")
}

func unless(fine bool, what string) string {
	if fine {
		return ""
	}
	return "got " + what
}

// TestEscapesByKeys: what the machine keeps in root's key rings is not a
// container's, which has the same user but no system call for keys.
func TestEscapesByKeys(t *testing.T) {
	id, err := unix.AddKey("user", fmt.Sprintf("podrun-escape-%d", os.Getpid()), []byte("machine's"), unix.KEY_SPEC_USER_KEYRING)
	if err != nil {
		t.Skipf("the machine has no keys: %v", err)
	}
	defer unix.KeyctlInt(unix.KEYCTL_UNLINK, id, unix.KEY_SPEC_USER_KEYRING, 0, 0)
	a := newAttacker(t)
	a.mustUp(attackers)
	for _, pod := range []string{"plain", "users", "shared", "machine"} {
		for _, line := range a.lines(pod, "default", "/attack", "probe", "request_key", "keyctl", "keyctl-user-session", "add_key") {
			tried(t, pod+": "+line, worked(line))
		}
		out := a.exec(pod, "default", "sh", "-c", "cat /proc/keys /proc/key-users | grep podrun-escape")
		tried(t, pod+": read /proc/keys", strings.TrimSpace(out))
	}
	a.down("plain", "users", "shared", "machine")
}
