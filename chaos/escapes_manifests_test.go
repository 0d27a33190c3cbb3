package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"podrun/ground"
)

// Bounds of what a manifest may cost, whatever it says.
var (
	maxManifestTime   = ground.Patience(20 * time.Second) // on a machine with other work
	maxManifestMemory = int64(512 << 20)                  // bytes
)

// podWith is a pod with more in its spec and in its container.
func podWith(spec, container string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: hostile}\nspec:\n" + spec + "  containers:\n  - name: main\n    image: attack\n" + container
}

func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// laughs is a document in which each anchor is ten of the one before.
func laughs(depth int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 lol\n")
	for i := range depth {
		ref := fmt.Sprintf("*a%d,", i)
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(ref, 10), ","))
	}
	return b.String()
}

// hostileManifests are refused, with a word that says why; those with an empty one
// may be right or wrong, and must only not cost much.
var hostileManifests = []struct{ name, text, want string }{
	{"a billion laughs", laughs(12), "a"},
	{"a billion laughs in a pod", "x: &x [lol,lol]\n" + laughs(9) + podWith("", ""), "a"},
	{"merged bombs", "a0: &a0 {k: v}\n" + repeat(40, "m%[1]d: {<<: [*a0, *a0, *a0]}\n"), "a"},
	{"an anchor that holds itself", "a: &a [*a]\n", "a"},
	{"lists in lists", strings.Repeat("[", 200000), "a"},
	{"maps in maps", strings.Repeat("{a: ", 100000), "a"},
	{"blocks in blocks", strings.Repeat("- ", 100000) + "x", "a"},
	{"JSON in JSON", strings.Repeat(`{"a":`, 100000), "a"},
	{"a quantity of many digits", podWith("", "    resources: {limits: {cpu: 1"+strings.Repeat("0", 100000)+"}}\n"), "cpu"},
	{"a quantity of a large exponent", podWith("", "    resources: {limits: {memory: 1e999999999}}\n"), ""},
	{"a quantity of a small exponent", podWith("", "    resources: {limits: {memory: 1e-999999999}}\n"), ""},
	{"a number too large", podWith("  terminationGracePeriodSeconds: 99999999999999999999999999\n", ""), "terminationGracePeriodSeconds"},
	{"a number that is a float", podWith("  priority: 1e400\n", ""), "priority"},
	{"a name with a path", "apiVersion: v1\nkind: Pod\nmetadata: {name: ../../etc}\nspec: {containers: [{name: main, image: a}]}\n", "metadata.name"},
	{"a name with a NUL", "apiVersion: v1\nkind: Pod\nmetadata: {name: \"a\\0b\"}\nspec: {containers: [{name: main, image: a}]}\n", "metadata.name"},
	{"a name with a line", "apiVersion: v1\nkind: Pod\nmetadata: {name: \"a\\nb\"}\nspec: {containers: [{name: main, image: a}]}\n", "metadata.name"},
	{"a namespace with a path", "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: ../b}\nspec: {containers: [{name: main, image: a}]}\n", "metadata.namespace"},
	{"a uid with a path", "apiVersion: v1\nkind: Pod\nmetadata: {name: hostile, uid: ../../../etc}\nspec: {containers: [{name: 'a/b', image: a}]}\n", "containers[0].name"},
	{"a container with a path", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: ../main, image: a}]}\n", "spec.containers[0].name"},
	{"a volume with a path", podWith("  volumes: [{name: ../x, emptyDir: {}}]\n", ""), "spec.volumes[0].name"},
	{"a claim with a path", podWith("  volumes: [{name: x, persistentVolumeClaim: {claimName: ../x}}]\n", ""), "claimName"},
	{"a claim's own name", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: ../../x}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n", "metadata.name"},
	{"a ConfigMap with a path", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ../x}\ndata: {a: b}\n", "metadata.name"},
	{"a key with a path", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {../../a: b}\n", "data"},
	{"a Secret's key", "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {..: b}\n", "data[..]"},
	{"an item's path", podWith("  volumes: [{name: x, configMap: {name: x, items: [{key: a, path: ../../a}]}}]\n", ""), "items[0].path"},
	{"an item's ..data", podWith("  volumes: [{name: x, configMap: {name: x, items: [{key: a, path: ..data/a}]}}]\n", ""), "items[0].path"},
	{"an absolute item", podWith("  volumes: [{name: x, secret: {secretName: x, items: [{key: a, path: /etc/a}]}}]\n", ""), "items[0].path"},
	{"a subPath", podWith("  volumes: [{name: x, emptyDir: {}}]\n", "    volumeMounts: [{name: x, mountPath: /x, subPath: a/../../b}]\n"), "subPath"},
	{"an absolute subPath", podWith("  volumes: [{name: x, emptyDir: {}}]\n", "    volumeMounts: [{name: x, mountPath: /x, subPath: /etc}]\n"), "subPath"},
	{"a subPathExpr", podWith("  volumes: [{name: x, emptyDir: {}}]\n", "    volumeMounts: [{name: x, mountPath: /x, subPathExpr: ../$(A)}]\n"), "subPathExpr"},
	{"a hostPath", podWith("  volumes: [{name: x, hostPath: {path: /srv/../etc}}]\n", ""), "hostPath.path"},
	{"a seccomp profile", podWith("  securityContext: {seccompProfile: {type: Localhost, localhostProfile: ../../etc/passwd}}\n", ""), "localhostProfile"},
	{"a file of variables", podWith("  volumes: [{name: x, emptyDir: {}}]\n", "    env: [{name: A, valueFrom: {fileKeyRef: {volumeName: x, path: ../../etc/passwd, key: A}}}]\n"), "path"},
	{"a variable with a NUL", podWith("", "    env: [{name: A, value: \"a\\0b\"}]\n"), ""},
	{"a sysctl with a path", podWith("  securityContext: {sysctls: [{name: net/../kernel/core_pattern, value: x}]}\n", ""), "sysctls"},
	{"a host alias with a line", podWith("  hostAliases: [{ip: 1.2.3.4, hostnames: [\"a\\n127.0.0.1 b\"]}]\n", ""), "hostnames"},
	{"a search domain with a line", podWith("  dnsConfig: {searches: [\"a\\nnameserver 1.1.1.1\"]}\n", ""), "searches"},
	{"thousands of containers", podWith("", repeat(5000, "  - {name: c%d, image: busybox}\n")), ""},
	{"thousands of volumes", podWith("  volumes:\n"+repeat(20000, "  - {name: v%d, emptyDir: {}}\n"), ""), ""},
	{"thousands of the same name", podWith("", strings.Repeat("  - {name: c, image: busybox}\n", 5000)), "Duplicate"},
	{"a large environment", podWith("", "    env:\n"+repeat(100000, "    - {name: V%d, value: x}\n")), ""},
	{"variables of variables", podWith("", "    env:\n    - {name: V0, value: xxxxxxxxxx}\n"+repeat(60, "    - {name: V%[1]d1, value: $(V%[1]d0)$(V%[1]d)$(V0)}\n")), ""},
	{"thousands of documents", strings.Repeat("---\n", 200000), ""},
	{"thousands of pods", repeat(3000, "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p%d}\nspec: {containers: [{name: a/b, image: x}]}\n"), "containers[0].name"},
	{"thousands of unknown fields", podWith(repeat(30000, "  x%d: 1\n"), ""), "unknown field"},
	{"one long line", podWith("", "    args: ['"+strings.Repeat("x", 3<<20)+"']\n"), ""},
	{"a comment without end", "#" + strings.Repeat("x", 4<<20), ""},
	{"bytes that are no text", strings.Repeat("\x00\xff\xfe\x1b]0;t\x07", 1000), "a"},
	{"a tag of code", "!!python/object/apply:os.system ['touch /tmp/x']\n", "a"},
}

// TestHostileManifests lets validate and up read what is meant to break them.
func TestHostileManifests(t *testing.T) {
	a := newAttacker(t)
	for i, c := range hostileManifests {
		file := a.Write(t, fmt.Sprintf("hostile-%d.yaml", i), c.text)
		code, text := a.bounded(c.name, nil, "validate", file)
		if c.want == "" {
			continue
		}
		if code != 2 || !strings.Contains(text, c.want) {
			t.Errorf("%s: got exit code %d and %.300q, want 2 and %q", c.name, code, text, c.want)
		}
		if strings.ContainsAny(text, "\x1b\x00\x07") {
			t.Errorf("%s: the complaint has control characters: %.300q", c.name, text)
		}
		if len(text) > 16<<20 {
			t.Errorf("%s: the complaint has %d bytes", c.name, len(text))
		}
		code, _ = a.bounded(c.name, nil, "up", "--timeout", "5s", file)
		tried(t, c.name, unless(code == 2, fmt.Sprint("exit code ", code)))
	}
	for name, args := range map[string][]string{
		"endless input": {"up", "-"}, "an endless file": {"up", "/dev/zero"},
	} {
		code, text := a.bounded(name, zeros{}, args...)
		tried(t, name, unless(code == 2, fmt.Sprint("exit code ", code, ": ", text)))
	}
	big := filepath.Join(a.Dir, "big.yaml")
	if err := exec.Command("sh", "-c", "yes 'a: b' | head -c 100000000 >"+big).Run(); err != nil {
		t.Fatal(err)
	}
	code, text := a.bounded("a file of 100 MB", nil, "up", big)
	tried(t, "a file of 100 MB", unless(code == 2, text))
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// bounded runs a command that reads a hostile manifest, and counts it as a try
// whether it stays within the bounds.
func (a *attacker) bounded(name string, in io.Reader, args ...string) (code int, text string) {
	a.t.Helper()
	cmd := a.Command(args...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &out
	start := time.Now()
	stop := time.AfterFunc(2*maxManifestTime, func() {
		if cmd.Process != nil {
			cmd.Process.Kill()
		}
	})
	defer stop.Stop()
	used, err := measured(cmd)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && cmd.ProcessState == nil {
		a.t.Fatalf("%s: %v", name, err)
	}
	took := time.Since(start)
	how := ""
	if took > maxManifestTime || used > maxManifestMemory {
		how = fmt.Sprintf("%s took %v and %d MB: %.300s", args[0], took, used>>20, out.String())
	}
	if took > 2*time.Second || used > 200<<20 {
		a.t.Logf("%s: %s took %v and %d MB", name, args[0], took, used>>20)
	}
	tried(a.t, name, how)
	return cmd.ProcessState.ExitCode(), out.String()
}
