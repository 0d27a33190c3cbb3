package chaos

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// racer has a claim that victims mount too, and exchanges names in it as fast as it can.
const sharedClaim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shared}
spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Mi}}}
`

var racer = sharedClaim + quickPod("racer", `
  volumes: [{name: shared, persistentVolumeClaim: {claimName: shared}}]
  containers: [{name: main, image: attack, imagePullPolicy: Never, volumeMounts: [{name: shared, mountPath: /vol}]}]
`)

// inClaim prepares the claim by a script that runs in the racer.
func (a *attacker) inClaim(script string, args ...any) {
	a.t.Helper()
	if out := a.exec("racer", "main", "sh", "-ec", "cd /vol; "+fmt.Sprintf(script, args...)); out != "" {
		a.t.Fatalf("prepare the claim: %s", out)
	}
}

var subPathVictim = quickPod("victim-%d", `
  restartPolicy: Never
  volumes: [{name: shared, persistentVolumeClaim: {claimName: shared}}]
  initContainers: [{name: first, image: attack, imagePullPolicy: Never, command: ["true"]}]
  containers:
`)

const subPathContainer = `
  - name: c%[1]d
    image: attack
    imagePullPolicy: Never
    command: [sh, -c, "cat /a/secret /b/secret /c/secret; ls /a /b; sleep 3600"]
    env: [{name: WHERE, value: swap}]
    volumeMounts:
    - {name: shared, mountPath: /a, subPath: swap}
    - {name: shared, mountPath: /b, subPath: swap/made-%[1]d/deep}
    - {name: shared, mountPath: /c, subPathExpr: $(WHERE)/..%[1]d}
`

// TestEscapesBySubPath mounts a directory of a volume while another pod exchanges it
// with links to the machine (CVE-2017-1002101, CVE-2021-25741), hundreds of times.
func TestEscapesBySubPath(t *testing.T) {
	a := newAttacker(t)
	a.mustUp(racer)
	a.inClaim("mkdir swap; ln -s %s link", a.canary)
	a.exchange("racer", "/vol/swap", "/vol/link")
	const pods, containers = 9, 12
	atOnce(3, pods, func(n int) {
		manifest := fmt.Sprintf(subPathVictim, n)
		for c := range containers {
			manifest += fmt.Sprintf(subPathContainer, n*containers+c)
		}
		file := a.Write(t, fmt.Sprintf("victim-%d.yaml", n), manifest)
		a.Run("up", "--timeout", "4s", file) // most of them are refused some of their mounts
		out := a.Run("logs", fmt.Sprintf("victim-%d", n), "--all-containers").Stdout
		tally(escapes, "escapes tried", 3*containers-1)
		tried(t, "subPath in a race", holding(out, a.word, "secret\n"))
		a.Run("down", "--force", fmt.Sprintf("victim-%d", n))
	})
	a.down("racer")
}

var overDevices = quickPod("%[1]s", `
  restartPolicy: Never
  volumes: [{name: shared, persistentVolumeClaim: {claimName: shared}}]
  containers:
  - name: main
    image: attack
    imagePullPolicy: Never
    tty: %[2]t
    command: [sh, -c, "for f in /proc/kcore /proc/keys /proc/timer_list /dev/console /dev/null; do echo escaped >$f; cat $f; done; cat /dev/secret"]
    volumeMounts: [{name: shared, mountPath: /dev}]
`)

// TestEscapesByDevices gives a container a /dev of another's making, in which null
// and console are links to what podrun hides or makes read-only, or become so while it
// sets the container up (CVE-2025-31133, CVE-2025-52565).
func TestEscapesByDevices(t *testing.T) {
	a := newAttacker(t)
	a.mustUp(racer)
	targets := []string{"/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", a.secret}
	for i, target := range targets {
		a.inClaim("rm -rf ./*; ln -s %[1]s null; ln -s %[1]s console; ln -s %[1]s ptmx; ln -s %[1]s pts; ln -s / shm; ln -s / mqueue", target)
		for j, tty := range []bool{false, true} {
			a.victim("links for devices", 2*i+j, overDevices, tty)
		}
	}
	a.inClaim("rm -rf ./*; mknod null c 1 3; mknod console c 5 1; ln -s %[1]s link; ln -s %[1]s terminal", targets[0])
	a.exchange("racer", "/vol/null", "/vol/link")
	a.exchange("racer", "/vol/console", "/vol/terminal")
	atOnce(3, 12, func(n int) {
		a.victim("devices in a race", 10+n, overDevices, n%2 == 0)
	})
	a.down("racer")
}

// victim runs the pod victim-N, which may fail, and looks at what it saw.
func (a *attacker) victim(what string, n int, manifest string, args ...any) {
	a.t.Helper()
	out := a.attempt(fmt.Sprintf("victim-%d", n), manifest, args...)
	tried(a.t, what, holding(out, a.word))
}

var overKernel = quickPod("%[1]s", `
  restartPolicy: Never
  securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "1"}]}
  volumes: [{name: shared, persistentVolumeClaim: {claimName: shared}}]
  containers:
  - name: main
    image: attack
    imagePullPolicy: Never
    command: [sh, -c, "cat %[2]s/secret; find /vol"]
    volumeMounts: [{name: shared, mountPath: %[2]q}]
`)

// TestEscapesByMountPoints mounts volumes over what podrun writes to while it sets a
// container up: labels, sysctls and cgroups could be redirected (CVE-2025-52881,
// CVE-2019-16884).
func TestEscapesByMountPoints(t *testing.T) {
	a := newAttacker(t)
	a.mustUp(racer)
	a.inClaim("mkdir -p self/attr self/fd sys/kernel net/ipv4 1; ln -s /proc/sysrq-trigger self/attr/exec; ln -s %s sys/kernel/core_pattern; echo 0 >uptime; ln -s / 1/root", a.canary)
	for i, point := range []string{
		"/proc", "/proc/self", "/proc/self/attr", "/proc/sys", "/proc/sys/net", "/proc/1", "/proc/thread-self/attr", "/proc/..//proc/self",
		"/sys", "/sys/fs/cgroup", "/sys/kernel", "/dev/pts", "/dev/shm", "/dev/mqueue", "/etc", "/",
	} {
		a.victim("a volume over "+point, i, overKernel, point)
	}
	a.down("racer")
}

var linkedPod = quickPod("%[1]s", `
  restartPolicy: Never
  volumes: [{name: empty, emptyDir: {}}, {name: config, configMap: {name: config, optional: true}}]
  containers:
  - name: main
    image: %[2]s
    imagePullPolicy: Never
    terminationMessagePath: /data/link/message
    command: [/attack, where, %[3]q]
    volumeMounts: [{name: empty, mountPath: /data/new/empty}, {name: config, mountPath: /config/deep}]
`)

// TestEscapesByImageLinks mounts into images in which the places that podrun mounts on,
// and what leads there, are links to the machine.
func TestEscapesByImageLinks(t *testing.T) {
	a := newAttacker(t)
	up := strings.Repeat("../", 30)
	n := 0
	var all errgroup.Group
	all.SetLimit(4)
	for _, place := range []string{
		"proc", "sys", "dev", "etc", "etc/hosts", "etc/hostname", "etc/resolv.conf", "data", "data/new", "data/link", "config", "config/deep", "tmp",
		"sys/fs", "dev/pts", "dev/shm", "dev/mqueue", "dev/termination-log",
	} {
		for _, target := range []string{a.canary, up + a.canary[1:], "/proc/self/cwd/" + up + a.canary[1:], "/proc/1/root" + a.canary} {
			n++
			if n%4 != len(place)%4 && place != "proc" && place != "etc" {
				continue // each place with one of the links, the most telling with all
			}
			n, name := n, fmt.Sprintf("links-%d", n)
			tar := filepath.Join(a.Dir, name+".tar")
			if err := withMore(attackImage(t), tar, entry{name: place, link: target}); err != nil {
				t.Fatal(err)
			}
			a.load(name, tar, "VOLUME /data/volume")
			all.Go(func() error {
				a.victim("an image with /"+place+" -> "+target, n, linkedPod, name, strings.TrimPrefix(a.secret, "/"))
				return nil
			})
		}
	}
	all.Wait()
}

const configured = `
apiVersion: v1
kind: ConfigMap
metadata: {name: config}
data: {key: value-%[1]d, secret: owned-%[1]d}
---
apiVersion: v1
kind: Secret
metadata: {name: hidden}
stringData: {key: value-%[1]d, secret: owned-%[1]d}
---
apiVersion: v1
kind: Pod
metadata: {name: writer, labels: {secret: owned-%[1]d}}
spec:
  terminationGracePeriodSeconds: 0
  volumes:
  - {name: config, configMap: {name: config}}
  - {name: hidden, secret: {secretName: hidden}}
  - {name: pod, downwardAPI: {items: [{path: secret, fieldRef: {fieldPath: metadata.labels}}]}}
  - {name: all, projected: {sources: [{configMap: {name: config}}, {secret: {name: hidden}}]}}
  containers:
  - name: main
    image: attack
    imagePullPolicy: Never
    terminationMessagePath: /v/message
    securityContext: {privileged: true}
    volumeMounts: [{name: config, mountPath: /v/config}, {name: hidden, mountPath: /v/hidden}, {name: pod, mountPath: /v/pod}, {name: all, mountPath: /v/all}]
`

// TestEscapesByProjectedFiles lets a container with all rights replace the files of its
// configuration by links to the machine, also while podrun writes them anew
// (CVE-2025-9566, which overwrote files of the machine).
func TestEscapesByProjectedFiles(t *testing.T) {
	a := newAttacker(t)
	a.mustUp(fmt.Sprintf(configured, 0))
	out := a.exec("writer", "main", "sh", "-c", "for v in config hidden pod all; do mount -o remount,rw,bind /v/$v && cd /v/$v && ln -s "+a.canary+" evil && ln -s evil ..evil && rm secret && ln -s "+a.secret+" secret; done")
	if out != "" {
		t.Fatal(out)
	}
	for _, volume := range []string{"config", "hidden", "pod", "all"} {
		a.exchange("writer", "/v/"+volume+"/..data", "/v/"+volume+"/evil")
	}
	for n := range 25 {
		a.up(fmt.Sprintf(configured, n+1)) // which may complain of volumes that it cannot write
		tried(t, "a changed ConfigMap in a race", a.changed())
	}
	a.exec("writer", "main", "sh", "-c", "for f in /etc/hosts /etc/hostname /etc/resolv.conf /v/message; do umount $f; rm -f $f; ln -s "+a.secret+" $f; done")
	a.up(fmt.Sprintf(configured, 100))
	a.Run("exec", "writer", "--", "kill", "-9", "-1")
	tried(t, "links for the pod's own files", a.changed())
	a.Run("down", "--force", "writer")
}

var grouped = quickPod("%[1]s", `
  restartPolicy: Never
  securityContext: {fsGroup: 4242}
  volumes: [{name: shared, persistentVolumeClaim: {claimName: shared}}]
  containers: [{name: main, image: attack, imagePullPolicy: Never, command: ["true"], volumeMounts: [{name: shared, mountPath: /vol}]}]
`)

// TestEscapesByGroups gives a volume to a group while its directories become links.
func TestEscapesByGroups(t *testing.T) {
	a := newAttacker(t)
	a.mustUp(racer)
	a.inClaim("mkdir -p swap/a/b/c; touch swap/secret file; ln file hard; ln -s %s link; ln -s %s one; for i in $(seq 300); do touch swap/$i; done", a.canary, filepath.Join(a.canary, "secret"))
	a.exchange("racer", "/vol/swap", "/vol/link")
	a.exchange("racer", "/vol/file", "/vol/one")
	atOnce(3, 12, func(n int) {
		a.victim("fsGroup in a race", n, grouped)
	})
	tried(t, "fsGroup in a race", a.changed())
	a.down("racer")
	a.Must(t, "volume", "rm", "shared") // with all the links in it
	tried(t, "the removal of a volume full of links", a.changed())
}

var nasty = quickPod("nasty", `
  volumes: [{name: empty, emptyDir: {}}, {name: memory, emptyDir: {medium: Memory}}, {name: machine, hostPath: {path: %[1]q}}]
  containers:
  - name: main
    image: attack
    imagePullPolicy: Never
    command: [sh, -c, "trap '' TERM; while true; do sleep 1; done"]
    securityContext: {privileged: true}
    volumeMounts:
    - {name: empty, mountPath: /empty, mountPropagation: Bidirectional}
    - {name: memory, mountPath: /memory, mountPropagation: Bidirectional}
    - {name: machine, mountPath: /machine}
`)

// TestEscapesByCleanUp leaves in volumes what would make their removal remove files
// of the machine: links, mounts, names, and processes that go on exchanging names.
func TestEscapesByCleanUp(t *testing.T) {
	a := newAttacker(t)
	a.mustUp(fmt.Sprintf(nasty, a.canary))
	script := `set -e
for v in /empty /memory; do
  cd $v
  ln -s %[1]s link; ln -s /machine machine; ln -s ../../../../../../../../%[1]s up
  mkdir bound swap deep; mount --bind /machine bound
  mkdir -p swap/a/b/c; touch swap/a/b/c/secret; ln -s %[1]s out
  mkdir "$(printf '\377\n-rf\n..')"; mknod fifo p; mknod disk b 7 0
  d=deep; for i in $(seq 60); do d=$d/x; done; mkdir -p $d; ln -s %[1]s $d/link
done`
	if out := a.exec("nasty", "main", "sh", "-c", fmt.Sprintf(script, a.canary)); out != "" {
		t.Fatal(out)
	}
	for _, v := range []string{"/empty", "/memory"} {
		a.background("nasty", "main", "exchanging", "setsid", "/attack", "exchange", v+"/swap", v+"/out")
	}
	r := a.Run("down", "nasty")
	if r.Code != 0 {
		t.Error(r)
	}
	for range 20 { // links, mounts and names, of two volumes
		tally(escapes, "escapes tried", 1)
	}
	tried(t, "the removal of volumes", a.changed())
}
