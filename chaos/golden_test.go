package chaos

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"podrun/ground"
)

var update = flag.Bool("update", false, "write the golden lists anew")

// goldenPods are the kinds of pods that have a golden list. What a container may
// have of the machine is in chaos/testdata/golden, and nothing else.
var goldenPods = []struct{ name, spec, container string }{
	{"default", "", ""},
	{"users", "hostUsers: false", ""},
	{"restricted", "securityContext: {runAsNonRoot: true, runAsUser: 1001, seccompProfile: {type: RuntimeDefault}}",
		"securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}"},
	{"privileged", "", "securityContext: {privileged: true}"},
}

var goldenPod = quickPod("golden", `
  %[1]s
  initContainers:
  - name: init
    image: facts
    imagePullPolicy: Never
    command: [/facts]
    volumeMounts: [{name: out, mountPath: /out}]
    %[2]s
  containers:
  - name: main
    image: facts
    imagePullPolicy: Never
    command: [/facts, stay]
    startupProbe: {exec: {command: [/facts, into, /out/probe]}, periodSeconds: 1}
    lifecycle: {postStart: {exec: {command: [/facts, into, /out/hook]}}}
    volumeMounts: [{name: out, mountPath: /out}]
    %[2]s
  volumes: [{name: out, emptyDir: {}}]
`)

const surroundings = "hostile surroundings"

// TestGoldenLists starts pods, and processes in them, by a caller with all in its
// surroundings that processes inherit, and holds what the containers see of
// themselves against a list.
func TestGoldenLists(t *testing.T) {
	tools := buildTools(t)
	for _, p := range goldenPods {
		t.Run(p.name, func(t *testing.T) {
			g := newGround(t, surroundings)
			importFacts(t, g, tools)
			caller := newCaller(t, g, tools)
			file := g.Write(t, "pod.yaml", fmt.Sprintf(goldenPod, p.spec, p.container))
			caller.run("up", file)
			n := newNormal(t, g, "golden")
			main := n.list(g.Must(t, "logs", "golden", "-c", "main"))
			golden(t, p.name, main)
			golden(t, p.name+"-ephemeral", n.list(caller.ephemeral()))
			for name, facts := range map[string]string{
				"init container": g.Must(t, "logs", "golden", "-c", "init"),
				"exec":           caller.run("exec", "golden", "--", "/facts"),
				"startup probe":  caller.run("exec", "golden", "--", "/busybox", "cat", "/out/probe"),
				"postStart hook": caller.run("exec", "golden", "--", "/busybox", "cat", "/out/hook"),
			} {
				compare(t, name, n.list(facts), main)
			}
			g.Must(t, "down", "golden")
		})
	}
}

// golden compares a list with the one that is kept.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, name, got, ofThisCgroup(name, string(want)))
}

// ofThisCgroup is a list as it is on this machine: on cgroup v2 all containers but
// privileged ones have a cgroup namespace, which v1 has for none.
func ofThisCgroup(name, list string) string {
	if unified() && name != "privileged" {
		return strings.Replace(list, "\ncgroup the machine's\n", "\ncgroup its own\n", 1)
	}
	return list
}

// compare counts what one process has that the list has not, or the reverse.
func compare(t *testing.T, process, got, want string) {
	t.Helper()
	tally(surroundings, "processes compared", 1)
	tally(surroundings, "escapes", 0)
	if got != want {
		tally(surroundings, "escapes", 1)
		t.Errorf("%s:\n%s", process, difference(t, got, want))
	}
}

// difference shows the lines that are not the same.
func difference(t *testing.T, got, want string) string {
	dir := t.TempDir()
	for name, text := range map[string]string{"got": got, "want": want} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("diff", "-u0", "want", "got")
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// tools are the programs of this test: facts tells what a process has, hostile
// gives it all that it must not have.
type tools struct{ facts, hostile string }

func buildTools(t *testing.T) tools {
	return tools{facts: buildTool(t, "facts"), hostile: buildTool(t, "hostile")}
}

func buildTool(t *testing.T, name string) string {
	path, err := ground.Program(name, func(path string) *exec.Cmd {
		return exec.Command("gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o", path, filepath.Join("testdata", name+".c"))
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// importFacts makes the image that holds the program and busybox.
func importFacts(t *testing.T, g *ground.Ground, tools tools) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for name, file := range map[string]string{"facts": tools.facts, "busybox": "/bin/busybox"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		w.Write(content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	g.Must(t, "image", "import", g.Write(t, "facts.tar", archive.String()), "facts")
}
