package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// helperMemory is the proportional set size, in bytes, of all processes that
// an engine keeps for its pods: those with dir among their arguments (podrun's
// pause and monitor, podman's conmon) and podman's pause, a child of conmon.
func helperMemory(dir string) (float64, error) {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	var helpers []string
	known := map[string]bool{}
	for _, name := range names {
		words, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(words), dir+"/") {
			proc := filepath.Dir(name)
			helpers = append(helpers, proc)
			known[filepath.Base(proc)] = true
		}
	}
	for _, name := range names {
		if proc := filepath.Dir(name); comm(proc) == "catatonit" && known[parent(proc)] {
			helpers = append(helpers, proc)
		}
	}
	total := 0.0
	for _, proc := range helpers {
		size, err := pss(proc)
		if err != nil {
			return 0, fmt.Errorf("read memory of process %s: %w", filepath.Base(proc), err)
		}
		total += size
	}
	return total, nil
}

func comm(proc string) string {
	text, err := os.ReadFile(filepath.Join(proc, "comm"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func parent(proc string) string { return field(filepath.Join(proc, "status"), "PPid:") }

func pss(proc string) (float64, error) {
	value := field(filepath.Join(proc, "smaps_rollup"), "Pss:")
	kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(value, " kB"), 64)
	return 1024 * kilobytes, err
}

// field is the value of a line that begins with name.
func field(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
