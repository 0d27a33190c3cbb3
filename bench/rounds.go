package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
)

// Rows of the table.
const (
	rowUp1     = "up, 1 container, until it runs"
	rowUp5     = "up, 5 containers"
	rowDown    = "down, nothing to wait for"
	rowExec    = "exec ... true"
	rowPs      = "ps"
	rowLogs    = "logs of a short log"
	rowPod     = "memory a pod of 1 container"
	rowMore    = "memory a further container"
	rowLogRate = "100-byte lines into the log"
	rowHTTP    = "100 httpGet probes a second on one pod, CPU"
	rowTCP     = "100 tcpSocket probes a second on one pod, CPU"
	rowFloor   = "libcontainer alone: create and run"
)

// bench measures all engines in turns.
type bench struct {
	*options
	engines []*engine
	dir     string
	results *results
}

// settle is the time between two engines' turns: what the kernel still does
// for one (namespaces end on a worker, RCU) must not be on the other's account.
const settle = 200 * time.Millisecond

// repeats of short commands in one turn.
const repeats = 3

func (b *bench) run(ctx context.Context) error {
	for i := range b.rounds + 1 {
		if i == 1 {
			b.results = newResults() // the first round was to warm up
		}
		b.progress("round %d of %d", i, b.rounds)
		for _, e := range b.turns(i) {
			if err := b.times(ctx, e); err != nil {
				return err
			}
			time.Sleep(settle)
		}
		if err := b.floor(); err != nil {
			return fmt.Errorf("measure libcontainer alone: %w", err)
		}
		time.Sleep(settle)
	}
	for i := range 3 {
		b.progress("log %d of 3", i+1)
		for _, e := range b.turns(i) {
			if err := b.logRate(ctx, e); err != nil {
				return err
			}
		}
	}
	for _, e := range b.engines {
		b.progress("memory of %d pods under %s", b.pods, e.name)
		if err := b.memory(ctx, e); err != nil {
			return err
		}
	}
	b.progress("probes")
	if err := b.probes(ctx, b.engines[0]); err != nil {
		return err
	}
	b.progress("")
	return nil
}

// turns is the order of the engines, another each round.
func (b *bench) turns(round int) []*engine {
	order := slices.Clone(b.engines)
	if round%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

// progress tells on a terminal what is being measured.
func (b *bench) progress(format string, args ...any) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return
	}
	fmt.Fprintf(os.Stderr, "\r\x1b[K"+format, args...)
}

// times is one turn: a pod's life, with the short commands in its middle.
func (b *bench) times(ctx context.Context, e *engine) error {
	one, err := b.manifest("bench-one", 1)
	if err != nil {
		return err
	}
	five, err := b.manifest("bench-five", 5)
	if err != nil {
		return err
	}
	for _, s := range []struct {
		row      string // empty: not measured
		commands [][]string
		times    int
	}{
		{rowUp1, [][]string{e.up(one)}, 1},
		{rowExec, [][]string{e.exec("bench-one", "true")}, repeats},
		{rowPs, [][]string{e.ps}, repeats},
		{rowLogs, [][]string{e.logs("bench-one")}, repeats},
		{rowDown, e.down("bench-one"), 1},
		{rowUp5, [][]string{e.up(five)}, 1},
		{"", e.down("bench-five"), 1},
	} {
		for range s.times {
			took, err := e.runAll(ctx, s.commands)
			if err != nil {
				return err
			}
			if s.row != "" {
				b.results.add(s.row, e.name, took.Seconds())
			}
		}
		time.Sleep(settle / 4)
	}
	return nil
}

// logRate lets a command of the container fill the pipe of its first process,
// from a file in memory that was made before.
func (b *bench) logRate(ctx context.Context, e *engine) error {
	one, err := b.manifest("bench-log", 1)
	if err != nil {
		return err
	}
	if _, err := e.run(ctx, e.up(one)); err != nil {
		return err
	}
	const chunk = 10 // megabytes
	line := strings.Repeat("x", 99)
	prepare := fmt.Sprintf("yes %s | head -c %d000000 >/dev/shm/lines", line, chunk)
	if _, err := e.run(ctx, e.exec("bench-log", "sh", "-c", prepare)); err != nil {
		return err
	}
	print := "cat" + strings.Repeat(" /dev/shm/lines", b.log/chunk) + " >/proc/1/fd/1"
	took, err := e.run(ctx, e.exec("bench-log", "sh", "-c", print))
	if err != nil {
		return err
	}
	took -= time.Duration(b.results.median(rowExec, e.name) * float64(time.Second))
	b.results.add(rowLogRate, e.name, float64(b.log)/took.Seconds())
	_, err = e.runAll(ctx, e.down("bench-log"))
	return err
}

// memory takes the PSS of the processes that keep pods of one container, and
// then pods of three.
func (b *bench) memory(ctx context.Context, e *engine) error {
	const more = 3
	perPod := map[int]float64{}
	for _, containers := range []int{1, more} {
		for i := range b.pods {
			file, err := b.manifest(numbered(i), containers)
			if err != nil {
				return err
			}
			if _, err := e.run(ctx, e.up(file)); err != nil {
				return err
			}
		}
		time.Sleep(3 * time.Second) // until all is idle
		total, err := helperMemory(e.dir)
		if err != nil {
			return err
		}
		perPod[containers] = total / float64(b.pods)
		for i := range b.pods {
			if _, err := e.runAll(ctx, e.down(numbered(i))); err != nil {
				return err
			}
		}
	}
	b.results.add(rowPod, e.name, perPod[1])
	b.results.add(rowMore, e.name, (perPod[more]-perPod[1])/(more-1))
	return nil
}

func numbered(i int) string { return fmt.Sprintf("bench-%d", i) }

// manifest writes a pod of containers that end at once when they are asked to.
func (b *bench) manifest(pod string, containers int) (string, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "apiVersion: v1\nkind: Pod\nmetadata:\n  name: %s\nspec:\n  containers:\n", pod)
	for i := range containers {
		fmt.Fprintf(&text, "  - name: %s\n    image: %s\n    imagePullPolicy: IfNotPresent\n", containerName(i), imageName)
		text.WriteString("    command: [sh, -c, \"trap 'exit 0' TERM; echo hello; while true; do sleep 1000 & wait; done\"]\n")
	}
	path := filepath.Join(b.dir, pod+".yaml")
	return path, os.WriteFile(path, []byte(text.String()), 0o644)
}
