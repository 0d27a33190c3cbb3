// Command vmtest tests podrun in virtual machines, under qemu's software emulation:
// Debian's kernel with cgroup v2 only, and Debian's systemd. A machine tests
// itself by what lies in guest/, and says on its console how that went; vmtest
// boots it, reads along, pulls its plug, and counts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// cache is where vmtest/fetch puts what machines are made of.
const cache = ".cache/vm"

// tests are all, in the order in which they are made.
var tests = []struct {
	name string
	run  func(context.Context, *bench) error
}{
	{"session", session},
	{"systemd", systemd},
	{"power", power},
	{"suite", suite},
	{"escapes", escapes},
}

// bench is what the machines of one run share.
type bench struct {
	dir      string // with initramfs and payload.ext4
	kernel   string
	scripts  string // which the suite runs: names with commas, or all
	tests    string // of chaos, which escapes runs: an expression
	patience int
	seed     uint64
	limit    time.Duration // after which the suite begins no more
}

func main() {
	var b bench
	flag.StringVar(&b.scripts, "scripts", "", "scripts of the suite to run, as a,b; all when it is empty")
	flag.StringVar(&b.tests, "tests", outward, "tests of chaos that escapes runs, as an `expression`; none that builds podrun")
	flag.IntVar(&b.patience, "patience", 8, "how many times longer than they say the scripts wait")
	flag.DurationVar(&b.limit, "limit", 20*time.Minute, "after which the suite begins no more scripts, and names them")
	flag.Uint64Var(&b.seed, "seed", uint64(time.Now().Unix()), "which blocks a power cut loses")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := run(ctx, &b, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "test-vm failed:", err)
		os.Exit(1)
	}
}

// run makes the tests of the names, or all.
func run(ctx context.Context, b *bench, names []string) (err error) {
	kernels, err := filepath.Glob(cache + "/kernel/boot/vmlinuz-*")
	if err != nil || len(kernels) != 1 {
		return fmt.Errorf("find one kernel in %s: run vmtest/fetch first", cache)
	}
	b.kernel = kernels[0]
	// Below the cache: /tmp may be memory.
	if b.dir, err = os.MkdirTemp(cache, "run"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := command(ctx, "vmtest/pack", b.dir); err != nil {
		return err
	}
	begin := time.Now()
	for _, t := range tests {
		if !chosen(t.name, names) {
			continue
		}
		begin := time.Now()
		if err := t.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		fmt.Printf("%s passed in %s\n", t.name, time.Since(begin).Round(time.Second))
	}
	fmt.Printf("test-vm passed in %s\n", time.Since(begin).Round(time.Second))
	return nil
}

func chosen(name string, names []string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return len(names) == 0
}

// command runs one of vmtest's own.
func command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
