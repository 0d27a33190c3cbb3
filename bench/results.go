package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// results are all samples: seconds, bytes, or megabytes a second, by row and engine.
type results struct {
	samples map[string]map[string][]float64
}

func newResults() *results { return &results{samples: map[string]map[string][]float64{}} }

func (r *results) add(row, engine string, value float64) {
	if r.samples[row] == nil {
		r.samples[row] = map[string][]float64{}
	}
	r.samples[row][engine] = append(r.samples[row][engine], value)
}

// median is NaN where there is no sample.
func (r *results) median(row, engine string) float64 {
	s := slices.Sorted(slices.Values(r.samples[row][engine]))
	n := len(s)
	if n == 0 {
		return math.NaN()
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

// line is a row of the table.
type line struct {
	row  string
	show func(float64) string
	less bool // the smaller, the better
	goal string
}

func milliseconds(s float64) string { return fmt.Sprintf("%.1f ms", 1000*s) }
func megabytes(b float64) string    { return fmt.Sprintf("%.2f MB", b/1e6) }
func ofCore(part float64) string    { return fmt.Sprintf("%.1f %%", 100*part) }
func rate(mb float64) string        { return fmt.Sprintf("%.0f MB/s", mb) }

var table = []line{
	{rowUp1, milliseconds, true, "5× less"},
	{rowUp5, milliseconds, true, "6× less"},
	{rowDown, milliseconds, true, "5× less"},
	{rowExec, milliseconds, true, "5× less"},
	{rowPs, milliseconds, true, "3× less"},
	{rowLogs, milliseconds, true, "3× less"},
	{rowPod, megabytes, true, "4 MB"},
	{rowMore, megabytes, true, "0"},
	{rowLogRate, rate, false, "200 MB/s"},
	{rowHTTP, ofCore, true, "5 % of a core"},
	{rowTCP, ofCore, true, "5 % of a core"},
}

// report is a page of markdown with the table and what made it.
func (r *results) report(o *options, engines []*engine) string {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\n`make bench` made this page, on " + machineLine() + ":\n\n")
	for _, e := range engines {
		fmt.Fprintf(&b, "- %s\n", e.version)
	}
	fmt.Fprintf(&b, "\nMedians of %d rounds in which the engines took turns. Images are present; times are those of whole commands.\n", o.rounds)
	if len(engines) == 1 {
		b.WriteString("podman is not installed: podrun's figures stand alone.\n")
	}
	b.WriteString("\n| what | podman | podrun | ratio | podrun must reach |\n| --- | --- | --- | --- | --- |\n")
	for _, l := range table {
		ours, theirs := r.median(l.row, "podrun"), r.median(l.row, "podman")
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", l.row, shown(l.show, theirs), shown(l.show, ours), ratio(ours, theirs, l.less), l.goal)
	}
	fmt.Fprintf(&b, "| %s | | %s | | the floor |\n", rowFloor, shown(milliseconds, r.median(rowFloor, "")))
	b.WriteString(explanation)
	for _, e := range engines {
		fmt.Fprintf(&b, "| %s | `%s` | `%s` | `%s` | `%s` | `%s` |\n", e.name, strings.Join(e.up("POD.yaml"), " "), joined(e.down("POD")),
			strings.Join(e.exec("POD", "true"), " "), strings.Join(e.ps, " "), strings.Join(e.logs("POD"), " "))
	}
	return b.String()
}

func joined(commands [][]string) string {
	var all []string
	for _, words := range commands {
		all = append(all, strings.Join(words, " "))
	}
	return strings.Join(all, "; ")
}

func shown(show func(float64) string, v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return show(v)
}

// ratio says how many times better we are.
func ratio(ours, theirs float64, less bool) string {
	switch {
	case math.IsNaN(ours) || math.IsNaN(theirs):
		return ""
	case less && ours < theirs/1000:
		return "nothing"
	case less && ours > theirs:
		return fmt.Sprintf("%.1f× more", ours/theirs)
	case less:
		return fmt.Sprintf("%.1f× less", theirs/ours)
	}
	return fmt.Sprintf("%.1f× as much", ours/theirs)
}

const explanation = `
- **Memory** is the proportional set size of all helper processes (podrun's pause and monitor; podman's conmon and catatonit) over 20 idle pods,
  divided by 20. A further container is the difference to pods of three.
- **Lines into the log**: a command in the container copies 200 MB from memory into the standard output of the first process; the time of an
  exec that does nothing is taken off.
- **Probes**: the processor time of the pod's monitor, in parts of one core, while 50 containers have a liveness and a readiness probe each second. An
  exec probe costs about 10 ms of CPU by itself, for a process has to be brought into the container: a hundred of them a second are a whole core.
- **The floor** is libcontainer alone: one container with namespaces, cgroup and root file system, but no image, address or log.
- podman has directories of its own, runc, and a ` + "`CONTAINERS_CONF`" + ` with the cgroupfs manager and file logs (see ` + "`bench/engine.go`" + `). Both run in a network and a
  mount namespace that end with the benchmark.

The commands, each after the engine's name and its directories:

| | up | down | exec | ps | logs |
| --- | --- | --- | --- | --- | --- |
`
