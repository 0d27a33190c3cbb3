// Command bench measures podrun beside podman, in turns, in one run, and prints
// a table of ratios: single times drift with the machine, ratios much less.
// Without podman it prints podrun's times alone. It works in network and mount
// namespaces and directories of its own, and leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"
)

type options struct {
	podrun string // the binary
	image  string // script that writes the root file system of the image
	output string // file for the report, or empty
	rounds int
	pods   int // of which memory is taken
	log    int // megabytes to print
}

func main() {
	var o options
	flag.StringVar(&o.podrun, "podrun", "bin/podrun", "binary to measure")
	flag.StringVar(&o.image, "image", "testdata/busybox.sh", "script that writes the root file system of the image")
	flag.StringVar(&o.output, "o", "", "also write the report to this file")
	flag.IntVar(&o.rounds, "rounds", 15, "rounds, beside one to warm up")
	flag.IntVar(&o.pods, "pods", 20, "pods whose memory is taken")
	flag.IntVar(&o.log, "log", 200, "megabytes of log")
	flag.Parse()
	if err := run(&o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o *options) error {
	if os.Geteuid() != 0 {
		return errors.New("pods need root")
	}
	if !onOwnMachine() {
		return enterOwnMachine()
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := prepareMachine(); err != nil {
		return err
	}
	results, engines, err := measure(ctx, o)
	if err != nil {
		return err
	}
	return report(o, results, engines)
}

// measure sets the engines up, measures them and removes what they made,
// however far that came.
func measure(ctx context.Context, o *options) (_ *results, engines []*engine, err error) {
	// On a disk: /tmp may be memory.
	dir, err := os.MkdirTemp("/var/tmp", "podrun-bench-")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if engines, err = newEngines(o, dir); err != nil {
		return nil, nil, err
	}
	for _, e := range engines {
		defer func() { err = errors.Join(err, e.cleanUp()) }()
		if err := e.importImage(ctx, o.image); err != nil {
			return nil, nil, err
		}
	}
	b := &bench{options: o, engines: engines, dir: dir, results: newResults()}
	if err := b.run(ctx); err != nil {
		return nil, nil, err
	}
	return b.results, engines, nil
}

func report(o *options, r *results, engines []*engine) error {
	text := r.report(o, engines)
	if _, err := io.WriteString(os.Stdout, text); err != nil || o.output == "" {
		return err
	}
	return os.WriteFile(o.output, []byte(text), 0o644)
}

func newEngines(o *options, dir string) ([]*engine, error) {
	binary, err := filepath.Abs(o.podrun)
	if err != nil {
		return nil, err
	}
	engines := []*engine{newPodrun(binary, filepath.Join(dir, "podrun"))}
	if _, err := exec.LookPath("podman"); err != nil {
		return engines, nil
	}
	podman, err := newPodman(filepath.Join(dir, "podman"))
	if err != nil {
		return nil, err
	}
	return append(engines, podman), nil
}
