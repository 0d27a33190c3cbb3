package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// engine is podrun or podman: the words of its commands.
type engine struct {
	name    string
	command []string // the program and its flags
	dir     string   // where it keeps everything
	env     []string

	image func() []string // reads the image from standard input
	up    func(manifest string) []string
	down  func(pod string) [][]string // commands in this order
	exec  func(pod string, words ...string) []string
	ps    []string
	logs  func(pod string) []string
	clean [][]string

	version string
}

const imageName = "docker.io/library/busybox:latest"

// The container's name in all manifests.
func containerName(i int) string { return fmt.Sprintf("c%d", i) }

func newPodrun(binary, dir string) *engine {
	return &engine{
		name: "podrun", dir: dir,
		command: []string{
			binary, "--root", filepath.Join(dir, "root"), "--run-root", filepath.Join(dir, "run"),
			"--log-dir", filepath.Join(dir, "log"),
		},
		image: func() []string { return []string{"image", "import", "--change", "ENV PATH=/bin", "-", imageName} },
		up:    func(m string) []string { return []string{"up", m} },
		down:  func(pod string) [][]string { return [][]string{{"down", pod}} },
		exec: func(pod string, words ...string) []string {
			return append([]string{"exec", pod, "-c", containerName(0), "--"}, words...)
		},
		ps:      []string{"ps"},
		logs:    func(pod string) []string { return []string{"logs", pod, "-c", containerName(0)} },
		clean:   [][]string{{"down", "--all", "--force"}},
		version: firstLine(binary, "version"),
	}
}

// podmanConf: crun 1.8 refuses a mixed cgroup tree, journald and systemd are
// not everywhere, and podman's default limits may be above the machine's.
const podmanConf = `[containers]
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_config_dir = %q
`

func newPodman(dir string) (*engine, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "containers.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, podmanConf, filepath.Join(dir, "net")), 0o644); err != nil {
		return nil, err
	}
	first := func(pod string) string { return pod + "-" + containerName(0) }
	return &engine{
		name: "podman", dir: dir, env: []string{"CONTAINERS_CONF=" + conf},
		command: []string{
			"podman", "--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"),
			"--tmpdir", filepath.Join(dir, "tmp"),
		},
		image: func() []string { return []string{"import", "--change", "ENV PATH=/bin", "-", imageName} },
		up:    func(m string) []string { return []string{"kube", "play", m} },
		// kube down kills at once, and then waits for three seconds until the
		// pod's cgroup is empty, in which podman's own clean-up still runs.
		down: func(pod string) [][]string { return [][]string{{"pod", "stop", pod}, {"pod", "rm", pod}} },
		exec: func(pod string, words ...string) []string {
			return append([]string{"exec", first(pod)}, words...)
		},
		ps:      []string{"ps"},
		logs:    func(pod string) []string { return []string{"logs", first(pod)} },
		clean:   [][]string{{"pod", "rm", "--all", "--force", "--time", "0"}, {"system", "reset", "--force"}},
		version: firstLine("podman", "--version") + " with " + firstLine("runc", "--version"),
	}, nil
}

func firstLine(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return name + " of unknown version"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// run executes one command and returns how long it took.
func (e *engine) run(ctx context.Context, words []string) (time.Duration, error) {
	return e.feed(ctx, nil, words)
}

func (e *engine) feed(ctx context.Context, stdin *os.File, words []string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, e.command[0], append(e.command[1:len(e.command):len(e.command)], words...)...)
	cmd.Env = append(os.Environ(), e.env...)
	if stdin != nil {
		cmd.Stdin = stdin
	}
	// Files, not pipes: what stays behind must not hold us up.
	out, err := os.CreateTemp("", "podrun-bench-output-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	begin := time.Now()
	err = cmd.Run()
	took := time.Since(begin)
	if err != nil {
		text, _ := os.ReadFile(out.Name())
		return 0, fmt.Errorf("%s %s: %w\n%s", e.name, strings.Join(words, " "), err, bytes.TrimSpace(text))
	}
	return took, nil
}

// runAll executes commands one after the other and adds their times up.
func (e *engine) runAll(ctx context.Context, commands [][]string) (time.Duration, error) {
	var sum time.Duration
	for _, words := range commands {
		took, err := e.run(ctx, words)
		if err != nil {
			return 0, err
		}
		sum += took
	}
	return sum, nil
}

// importImage gives the engine the image that script writes.
func (e *engine) importImage(ctx context.Context, script string) error {
	archive, err := os.CreateTemp("", "podrun-bench-image-")
	if err != nil {
		return err
	}
	defer os.Remove(archive.Name())
	defer archive.Close()
	cmd := exec.CommandContext(ctx, script)
	cmd.Stdout, cmd.Stderr = archive, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make the image: %w", err)
	}
	if _, err := archive.Seek(0, 0); err != nil {
		return err
	}
	_, err = e.feed(ctx, archive, e.image())
	return err
}

// cleanUp removes all pods, images and cgroups. It is not stopped by what
// stopped the benchmark.
func (e *engine) cleanUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	for _, words := range e.clean {
		_, err := e.run(ctx, words)
		errs = append(errs, err)
	}
	if e.name == "podman" {
		removeCgroups("libpod_parent")
	}
	return errors.Join(errs...)
}
