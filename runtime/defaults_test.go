package runtime

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// openFiles lists the shell's own: to look into its directory would open one more.
const openFiles = "n=0; while [ $n -lt 99 ]; do [ -L /proc/$$/fd/$n ] && l=\"$l $n\"; n=$((n+1)); done; echo $l"

// What a container finds where the manifest says nothing, and what it finds
// where it does.
func TestInside(t *testing.T) {
	t.Setenv("CALLERS", "own")
	for range 10 { // without close-on-exec
		fd, err := unix.Open("/dev/zero", unix.O_RDONLY, 0)
		must(t, err)
		defer unix.Close(fd)
	}
	const status = "grep -E '^(CapEff|CapInh|CapAmb|Seccomp|NoNewPrivs):' /proc/self/status"
	plain := func(*Spec) {}
	with := func(sc v1.SecurityContext) func(*Spec) { return func(s *Spec) { s.Container.SecurityContext = &sc } }
	tests := []struct {
		why    string
		change func(*Spec)
		script string
		want   string
	}{
		{"capabilities and filter", plain, status, "CapInh:\t0000000000000000\nCapEff:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2"},
		{"drop ALL, no escalation", with(v1.SecurityContext{AllowPrivilegeEscalation: ptr(false), Capabilities: &v1.Capabilities{Drop: []v1.Capability{"ALL"}}}),
			"grep -E '^(CapEff|NoNewPrivs):' /proc/self/status", "CapEff:\t0000000000000000\nNoNewPrivs:\t1"},
		{"environment", plain, "env -u _ -u SHLVL -u OLDPWD -u PWD | grep -v '^HOME='", "HOSTNAME=web\nPATH=" + defaultPath},
		{"home of the user", plain, "echo $HOME", "/root"},
		{"descriptors", plain, openFiles, "0 1 2"},
		{"first process of its namespace", plain, "echo $$", "1"},
		{"score", plain, "cat /proc/self/oom_score_adj", "900"},
		{"masked", plain, "cat /proc/keys /proc/timer_list 2>/dev/null; ls /sys/firmware", ""},
		{"/proc/sys is read-only", plain, "echo 1 >/proc/sys/vm/drop_caches", "/bin/sh: can't create /proc/sys/vm/drop_caches: Read-only file system"},
		{"/sys is read-only", plain, "touch /sys/x 2>&1", "touch: /sys/x: Read-only file system"},
		{"the root can be written to", plain, "touch /x && echo ok", "ok"},
		{"the filter refuses what needs no capability", plain, "busybox unshare -U true 2>&1", "unshare: unshare(0x10000000): Operation not permitted"},
		{"shared memory", plain, "echo shared >/dev/shm/f; cat /dev/shm/f", "shared"},
		{"working directory that is missing is made", func(s *Spec) { s.Image.WorkingDir = "/new/dir" }, "readlink /proc/self/cwd", "/new/dir"},
		{"read-only root", with(v1.SecurityContext{ReadOnlyRootFilesystem: ptr(true)}), "touch /y 2>&1; touch /dev/shm/z && echo ok", "touch: /y: Read-only file system\nok"},
		{"privileged", with(v1.SecurityContext{Privileged: ptr(true)}), "grep Seccomp: /proc/self/status; mount -t tmpfs x /tmp && echo mounted", "Seccomp:\t0\nmounted"},
		{"unconfined", with(v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeUnconfined}}), "grep Seccomp: /proc/self/status", "Seccomp:\t0"},
		{"user and groups", with(v1.SecurityContext{RunAsUser: ptr(int64(1000)), RunAsGroup: ptr(int64(2000))}), "id -u; id -g", "1000\n2000"},
	}
	r := newRig(t)
	for _, test := range tests {
		s := r.spec(test.script)
		test.change(s)
		if got, _ := r.run(s); got != test.want {
			t.Errorf("%s: got %q, want %q", test.why, got, test.want)
		}
	}
}

func TestBinds(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("from outside"), 0o644))
	s := r.spec("cat /data/file; echo; echo inside >/data/new; touch /mnt/deep/x 2>&1 | grep -c Read-only; cat /etc/one")
	s.Binds = []Bind{
		{Source: dir, Destination: "/data"},
		{Source: dir, Destination: "/mnt/deep", ReadOnly: true}, // made in the image
		{Source: filepath.Join(dir, "file"), Destination: "/etc/one"},
	}
	if got, want := first(r.run(s)), "from outside\n1\nfrom outside"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "new")); string(got) != "inside\n" {
		t.Errorf("written inside: got %q (%v)", got, err)
	}
}

func first(output string, _ Exit) string { return output }
