package chaos

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"podrun/ground"
)

const hands = "someone else's hands"

// handled is the pod of which others remove things. Its main container counts
// without end, the other serves what the memory volume holds.
var handled = quickPod("handled", `
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"]
  - name: web
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "echo kept > /cache/index.html; exec httpd -f -p 80 -h /cache"]
    ports: [{containerPort: 80, hostPort: 8080}]
    volumeMounts: [{name: cache, mountPath: /cache}, {name: key, mountPath: /key}]
    resources: {limits: {memory: 64Mi}}
  volumes:
  - {name: cache, emptyDir: {medium: Memory}}
  - {name: key, secret: {secretName: key}}
`) + `---
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {key: secret}
`

// hand is one pod on a machine of its own: the thread of the test has a network
// namespace that nobody else has, where a flush of the ruleset hurts nobody.
type hand struct {
	testing.TB
	*ground.Ground
	uid     string
	before  map[string]string // the first processes of the containers
	link    string            // the pod's
	gateway string            // the link
	ip, ip6 string
}

func newHand(t *testing.T) *hand {
	t.Helper()
	goruntime.LockOSThread() // and never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	h := &hand{TB: t, Ground: newGround(t, hands)}
	h.sh("ip link set lo up")
	h.Must(t, "up", h.Write(t, "handled.yaml", handled))
	var err error
	if h.uid, err = h.UID("handled"); err != nil {
		t.Fatal(err)
	}
	h.ip = strings.TrimSpace(h.sh("readlink %s/%s", h.Store.AddressDir(), h.uid))
	h.link = strings.Fields(h.sh("ip -o route get %s | grep -o 'dev [^ ]*'", h.ip))[1]
	h.ip6 = strings.Fields(h.sh("ip -6 route show dev %s | grep -v '^f[ef]'", h.link))[0]
	h.gateway = strings.Split(strings.Fields(h.sh("ip -o addr show to 169.254.1.1"))[1], "@")[0]
	h.before = h.processes()
	ground.Until(t, "the pod is looked after", func() bool { return strings.Contains(h.descriptors(), "inotify") })
	return h
}

// sh runs a command line of the shell, with the paths of the ground in it.
func (h *hand) sh(format string, args ...any) string {
	h.Helper()
	cmd := exec.Command("sh", "-ec", fmt.Sprintf(format, args...))
	cmd.Dir = h.Dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		h.Fatalf("%s: %v\n%s%s", fmt.Sprintf(format, args...), err, out, stderr.String())
	}
	return string(out)
}

func (h *hand) processes() map[string]string {
	found := map[string]string{}
	for _, role := range []string{"pause", "main", "web"} {
		p, _ := victim(h.uid, role)
		found[role] = fmt.Sprint(p.PID, " ", p.Start)
	}
	return found
}

func (h *hand) monitor() int {
	p, ok := victim(h.uid, "monitor")
	if !ok {
		h.Fatal("the pod has no monitor")
	}
	return p.PID
}

func (h *hand) descriptors() string {
	dir := fmt.Sprintf("/proc/%d/fd", h.monitor())
	names, _ := os.ReadDir(dir)
	var all []string
	for _, n := range names {
		target, _ := os.Readlink(filepath.Join(dir, n.Name()))
		all = append(all, target)
	}
	return strings.Join(all, "\n")
}

// reached tells whether the pod's server answers on its host port.
func (h *hand) reached(host string) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, "8080"), time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprint(conn, "GET /index.html HTTP/1.0\r\n\r\n")
	answer, _ := io.ReadAll(conn)
	return strings.HasSuffix(string(answer), "\r\n\r\nkept\n")
}

// whole wants the pod to be as it was before anybody had hands on it.
func (h *hand) whole(after string) {
	h.Helper()
	if now := h.processes(); fmt.Sprint(now) != fmt.Sprint(h.before) {
		h.Errorf("after %s other processes run: %v, before %v", after, now, h.before)
	}
	if r := h.Run("exec", "handled", "-c", "web", "--", "cat", "/cache/index.html"); r.Stdout != "kept\n" {
		h.Errorf("after %s: %s", after, r)
	}
	if r := h.Run("ps"); !strings.Contains(r.Stdout, "2/2     Running   0") {
		h.Errorf("after %s: %s", after, r)
	}
}

// counted wants every number that main has printed once and in order.
func (h *hand) counted() {
	h.Helper()
	lost := 0
	for i, line := range strings.Fields(h.Must(h, "logs", "handled", "-c", "main")) {
		if line != fmt.Sprint(i+1) && lost == 0 {
			h.Errorf("line %d of the log is %q", i+1, line)
			lost++
		}
	}
	tally(hands, "bytes lost", lost)
}

// fault is something that somebody else does, and how it shows that it is mended.
type fault struct {
	name   string
	inject func(*hand)
	mended func(*hand) bool
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// removal is the fault of a removed file, which is there again.
func removal(name string, path func(*hand) string) fault {
	return fault{"rm " + name,
		func(h *hand) { h.sh("rm -rf %s || true", path(h)) },
		func(h *hand) bool { return exists(path(h)) }}
}

func serves(h *hand) bool { return h.reached("127.0.0.1") }

func hasGateway(h *hand) bool {
	return strings.Contains(h.sh("ip -o addr show to 169.254.1.1"), h.gateway) && serves(h)
}

var networkFaults = []fault{
	{"nft flush ruleset", func(h *hand) { h.sh("nft flush ruleset") }, serves},
	{"nft delete table ip", func(h *hand) { h.sh("nft delete table ip podrun-%s", h.Store.Instance) }, serves},
	{"nft delete table ip6", func(h *hand) { h.sh("nft delete table ip6 podrun-%s", h.Store.Instance) },
		func(h *hand) bool { return strings.Contains(h.sh("nft list tables"), "ip6 podrun-"+h.Store.Instance) }},
	{"nft flush chain", func(h *hand) { h.sh("nft flush chain ip podrun-%s hostports", h.Store.Instance) }, serves},
	{"nft flush map", func(h *hand) { h.sh("nft flush map ip podrun-%s ports", h.Store.Instance) }, serves},
	{"iptables -F", func(h *hand) {
		h.sh("iptables-nft -F; iptables-nft -t nat -F; iptables-nft -P FORWARD ACCEPT")
	}, serves},
	{"docker starts", func(h *hand) {
		h.sh("iptables-nft -N DOCKER-USER; iptables-nft -A DOCKER-USER -j RETURN; iptables-nft -A FORWARD -j DOCKER-USER; iptables-nft -P FORWARD DROP; nft delete table ip podrun-%s", h.Store.Instance)
	}, func(h *hand) bool {
		return strings.Count(h.sh("nft list chain ip filter DOCKER-USER"), h.Host.LinkPrefix) == 2 && serves(h)
	}},
	{"iptables -F DOCKER-USER", func(h *hand) { h.sh("iptables-nft -F DOCKER-USER") }, func(h *hand) bool {
		return strings.Count(h.sh("nft list chain ip filter DOCKER-USER"), h.Host.LinkPrefix) == 2
	}},
	{"docker goes", func(h *hand) {
		// The chain at once: podrun's rules would be back before a second command.
		h.sh("iptables-nft -P FORWARD ACCEPT; iptables-nft -F FORWARD; nft 'flush chain ip filter DOCKER-USER; delete chain ip filter DOCKER-USER'")
	}, serves},
	{"ip link del", func(h *hand) { h.sh("ip link del %s", h.link) }, serves},
	{"ip link set down", func(h *hand) { h.sh("ip link set %s down", h.link) }, serves},
	{"ip route del", func(h *hand) { h.sh("ip route del %s", h.ip) }, serves},
	{"ip -6 route del", func(h *hand) { h.sh("ip -6 route del %s", h.ip6) },
		func(h *hand) bool { return strings.Contains(h.sh("ip -6 route show dev %s", h.link), h.ip6) }},
	{"ip link del of the gateway", func(h *hand) { h.sh("ip link del %s", h.gateway) }, hasGateway},
	{"ip addr flush of the gateway", func(h *hand) { h.sh("ip addr flush dev %s", h.gateway) }, hasGateway},
	{"ip_forward=0", func(h *hand) { h.sh("echo 0 > /proc/sys/net/ipv4/ip_forward") },
		func(h *hand) bool { return h.sh("cat /proc/sys/net/ipv4/ip_forward") == "1\n" }},
	{"ipv6 forwarding=0", func(h *hand) { h.sh("echo 0 > /proc/sys/net/ipv6/conf/all/forwarding") },
		func(h *hand) bool { return h.sh("cat /proc/sys/net/ipv6/conf/all/forwarding") == "1\n" }},
}

func (h *hand) podFile(name string) string { return filepath.Join(h.Store.PodDir(h.uid), name) }
func (h *hand) runFile(name string) string { return filepath.Join(h.Store.RunDir(h.uid), name) }

// changed is the fault of a file with other content, which has the old one again.
func changed(name, content string) fault {
	var before []byte
	return fault{"write " + name, func(h *hand) {
		before, _ = os.ReadFile(h.podFile(name))
		h.sh("printf '%%s' '%s' > %s", content, h.podFile(name))
	}, func(h *hand) bool {
		now, _ := os.ReadFile(h.podFile(name))
		return len(now) > 0 && bytes.Equal(now, before)
	}}
}

var recordFaults = []fault{
	removal("the claim of the name", func(h *hand) string { return h.Store.ClaimPath("default", "handled") }),
	removal("names", func(h *hand) string { return filepath.Join(h.Store.Root, "names") }),
	removal("pod.json", func(h *hand) string { return h.podFile("pod.json") }),
	removal("status.json", func(h *hand) string { return h.podFile("status.json") }),
	changed("pod.json", `{"version":1,"pod":"cut sho`),
	changed("status.json", `{}`),
	{"mv pod.json", func(h *hand) { h.sh("mv %s %s/elsewhere", h.podFile("pod.json"), h.Dir) },
		func(h *hand) bool { return exists(h.podFile("pod.json")) }},
	removal("lock", func(h *hand) string { return h.runFile("lock") }),
	removal("the control socket", func(h *hand) string { return h.runFile("control") }),
	removal("the state of a container", func(h *hand) string { return h.runFile("containers/web.0/state.json") }),
	removal("the states of all containers", func(h *hand) string { return h.runFile("containers") + "/web.0" }),
	{"rm -r of the run directory", func(h *hand) { h.sh("rm -rf %s || true", h.Store.RunDir(h.uid)) },
		func(h *hand) bool {
			return exists(h.runFile("control")) && exists(h.runFile("containers/main.0/state.json"))
		}},
	removal("the claim of the address", func(h *hand) string { return filepath.Join(h.Store.AddressDir(), h.ip) }),
	{"rm -r of the run root", func(h *hand) { h.sh("rm -rf %s || true", h.Store.RunRoot) }, func(h *hand) bool {
		return exists(h.runFile("control")) && exists(h.runFile("containers/main.0/state.json")) && exists(filepath.Join(h.Store.AddressDir(), h.ip))
	}},
	{"rm of claims, lock and socket while there is no monitor", func(h *hand) {
		h.sh("kill -STOP %d; rm -rf %s/* %s %s; kill -9 %d", h.monitor(), h.Store.AddressDir(), h.runFile("lock"), h.runFile("control"), h.monitor())
	}, func(h *hand) bool {
		return exists(h.runFile("control")) && exists(h.runFile("lock")) && exists(filepath.Join(h.Store.AddressDir(), h.ip))
	}},
	{"umount of a memory volume", func(h *hand) { h.umount(h.podFile("volumes/cache")) },
		func(h *hand) bool { return h.mounted(h.podFile("volumes/cache")) }},
	{"umount of a secret", func(h *hand) { h.umount(h.podFile("volumes/key")) },
		func(h *hand) bool { return h.mounted(h.podFile("volumes/key")) }},
	{"umount of /dev/shm", func(h *hand) { h.umount(h.podFile("shm")) },
		func(h *hand) bool { return h.mounted(h.podFile("shm")) }},
	{"umount of a root file system", func(h *hand) { h.umount(h.podFile("containers/main.0/rootfs")) },
		func(h *hand) bool { return true }}, // the container has its own
}

func (h *hand) umount(path string) { h.sh("nsenter -t %d -m umount -l %s", h.monitor(), path) }

func (h *hand) mounted(path string) bool {
	table, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", h.monitor()))
	return bytes.Contains(table, []byte(" "+path+" "))
}

// await waits for more than two looks that nobody has asked for.
func (h *hand) await(f fault) {
	h.Helper()
	for start := time.Now(); !f.mended(h); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > 90*time.Second {
			h.Fatalf("%s is not mended:\n%s", f.name, h.Run("events", "handled"))
		}
	}
}

func (h *hand) suffer(faults []fault) {
	for _, f := range faults {
		start := time.Now()
		f.inject(h)
		h.await(f)
		h.Logf("%s: mended after %v", f.name, time.Since(start).Round(time.Millisecond))
		h.whole(f.name)
		tally(hands, "faults injected", 1)
	}
}

func (h *hand) end() {
	h.counted()
	if out := h.Must(h, "events", "handled"); !strings.Contains(out, "Repaired") || strings.Contains(out, "FailedRepair") {
		h.Errorf("the events tell of no repair, or of one that failed:\n%s", out)
	}
	h.Must(h, "down", "handled")
	h.sh("rm -rf %s", filepath.Join(h.Store.Root, "objects"))
}

func TestHandsOnTheNetwork(t *testing.T) {
	h := newHand(t)
	ground.Until(t, "the pod can be reached", func() bool { return serves(h) })
	h.suffer(networkFaults)
	h.end()
}

func TestHandsOnTheRecord(t *testing.T) {
	h := newHand(t)
	h.suffer(recordFaults)
	// What was unmounted is the same file system again: the next attempt of a
	// container finds what this one has written.
	h.sh("kill -9 %s", strings.Fields(h.before["web"])[0])
	ground.Until(t, "the container runs again", func() bool { return strings.Contains(h.Must(t, "ps"), "2/2     Running   1") })
	if out := h.Must(t, "exec", "handled", "-c", "web", "--", "sh", "-c", "cat /cache/index.html /key/key"); out != "kept\nsecret" {
		t.Errorf("after the restart the volumes hold %q", out)
	}
	h.end()
}

// What cannot be made again is told, once, and made again when it can be.
func TestHandsThatHoldOn(t *testing.T) {
	t.Parallel()
	h := newHand(t)
	claim := h.Store.ClaimPath("default", "handled")
	h.sh("kill -STOP %d; rm %s; ln -s another %s; kill -CONT %d", h.monitor(), claim, claim, h.monitor())
	ground.Until(t, "the events tell of it", func() bool {
		out := h.Run("events", "-A", "-o", "json").Stdout + h.sh("cat %s", h.podFile("events.jsonl"))
		return strings.Contains(out, "FailedRepair") && strings.Contains(out, "take that pod down, and this one gets its name back")
	})
	h.sh("rm %s", claim)
	h.sh("touch %s", h.podFile("pod.json")) // the claim is not watched while it is another's
	ground.Until(t, "the name is the pod's again", func() bool { return h.Run("ps", "handled").Code == 0 })
	h.whole("a name that another had")
	tally(hands, "faults injected", 1)
	h.Must(t, "down", "handled")
	h.sh("rm -rf %s", filepath.Join(h.Store.Root, "objects"))
}

// What the kernel tells nobody is found by looking.
func TestHandsInSilence(t *testing.T) {
	t.Parallel()
	h := newHand(t)
	ground.Until(t, "the pod can be reached", func() bool { return serves(h) })
	h.suffer([]fault{{"route_localnet=0", func(h *hand) {
		h.sh("echo 0 > /proc/sys/net/ipv4/conf/%s/route_localnet", h.link)
	}, serves}})
	h.end()
}
