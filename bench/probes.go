package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// probedContainers have a liveness and a readiness probe each second.
const probedContainers = 50

// probeTime is how long the processor time is taken for.
const probeTime = 10 * time.Second

// probes takes the processor time of podrun's monitor while it makes a hundred
// probes a second on one pod. podman has no such probes.
func (b *bench) probes(ctx context.Context, e *engine) error {
	for _, kind := range []struct{ row, handler string }{
		{rowHTTP, "httpGet: {port: 8080, path: /}"},
		{rowTCP, "tcpSocket: {port: 8080}"},
	} {
		file, err := b.probedManifest(kind.handler)
		if err != nil {
			return err
		}
		if _, err := e.run(ctx, e.up(file)); err != nil {
			return err
		}
		time.Sleep(3 * time.Second)
		monitor, err := findMonitor(e.dir)
		if err != nil {
			return err
		}
		before, err := processorTime(monitor)
		if err != nil {
			return err
		}
		began := time.Now()
		time.Sleep(probeTime)
		after, err := processorTime(monitor)
		if err != nil {
			return err
		}
		b.results.add(kind.row, e.name, float64(after-before)/float64(time.Since(began)))
		if _, err := e.runAll(ctx, e.down("bench-probes")); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) probedManifest(handler string) (string, error) {
	var text strings.Builder
	text.WriteString("apiVersion: v1\nkind: Pod\nmetadata: {name: bench-probes}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers:\n")
	container := func(i int, command, probes string) {
		fmt.Fprintf(&text, "  - {name: %s, image: %s, imagePullPolicy: IfNotPresent, command: [%s]%s}\n", containerName(i), imageName, command, probes)
	}
	container(0, `sh, -c, "mkdir /www && echo ok >/www/index.html && exec httpd -f -p 8080 -h /www"`, ", startupProbe: {tcpSocket: {port: 8080}}")
	for i := range probedContainers {
		container(i+1, `sleep, "36000"`, fmt.Sprintf(", livenessProbe: {%s, periodSeconds: 1}, readinessProbe: {%s, periodSeconds: 1}", handler, handler))
	}
	path := filepath.Join(b.dir, "bench-probes.yaml")
	return path, os.WriteFile(path, []byte(text.String()), 0o644)
}

// findMonitor is the directory in /proc of the one monitor that works in dir.
func findMonitor(dir string) (string, error) {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return "", err
	}
	for _, name := range names {
		words, err := os.ReadFile(name)
		if err == nil && strings.HasPrefix(string(words), "podrun: monitor") && strings.Contains(string(words), dir+"/") {
			return filepath.Dir(name), nil
		}
	}
	return "", errors.New("find the pod's monitor: there is none")
}

// ticks of /proc/PID/stat are hundredths of a second (USER_HZ).
const tick = 10 * time.Millisecond

// processorTime is what the process has used so far, fields 14 and 15 of
// /proc/PID/stat (proc(5)).
func processorTime(proc string) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("read %s/stat: it has %d fields", proc, len(fields))
	}
	var sum time.Duration
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			return 0, fmt.Errorf("read %s/stat: %w", proc, err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}
