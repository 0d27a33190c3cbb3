package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// plan is what a machine is to be.
type plan struct {
	name   string   // of the file in the cache that keeps what it printed
	memory int      // MiB
	kernel []string // parameters; guest/init knows them
	drives []string // as qemu's -drive has them: vda, vdb, ...
	limit  time.Duration
	boots  int // after which the machine has to be done; 0 is 1
}

// machine is a virtual one that runs.
type machine struct {
	cmd    *exec.Cmd
	lines  *bufio.Scanner
	log    *os.File
	cancel context.CancelFunc
	ctx    context.Context
	bad    []string // lines that no machine may print
}

// quick spares an emulated machine work that does nothing for it: detours around
// faults of real processors, zeroes in each new page, and a clock that is a device. A busy host may be too late for a look at the timer.
const quick = "mitigations=off init_on_alloc=0 tsc=reliable no_timer_check"

// boot starts a machine, which ends with ctx. The caller closes it.
func (b *bench) boot(ctx context.Context, p plan) (*machine, error) {
	log, err := os.OpenFile(filepath.Join(cache, p.name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	m := &machine{log: log}
	m.ctx, m.cancel = context.WithTimeoutCause(ctx, p.limit, fmt.Errorf("the machine did not come to its end within %s", p.limit))
	m.cmd = exec.CommandContext(m.ctx, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2",
		"-m", strconv.Itoa(p.memory), "-kernel", b.kernel, "-initrd", filepath.Join(b.dir, "initramfs"),
		"-append", "console=ttyS0 quiet panic=-1 oops=panic "+quick+" "+strings.Join(p.kernel, " "),
		"-display", "none", "-vga", "none", "-nic", "none", "-monitor", "none", "-serial", "stdio", "-action", "panic=shutdown", "-no-reboot")
	for _, d := range p.drives {
		m.cmd.Args = append(m.cmd.Args, "-drive", d+",if=virtio")
	}
	m.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	console, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	m.cmd.Stderr = m.cmd.Stdout
	m.lines = bufio.NewScanner(io.TeeReader(console, log))
	m.lines.Buffer(nil, 1<<28) // scripts have megabytes without an end of line
	if err := m.cmd.Start(); err != nil {
		m.cancel()
		return nil, errors.Join(fmt.Errorf("start qemu: %w", err), log.Close())
	}
	return m, nil
}

var broken = regexp.MustCompile(`Kernel panic|Oops:|BUG: |WARNING: CPU`)

// next is the next line on the machine's console, while there is one.
func (m *machine) next() (line string, ok bool) {
	if !m.lines.Scan() {
		return "", false
	}
	line = strings.TrimRight(m.lines.Text(), "\r")
	if broken.MatchString(line) {
		m.bad = append(m.bad, line)
	}
	return line, true
}

// cut is the power cut: the machine is killed where it stands.
func (m *machine) cut() { m.cmd.Process.Kill() }

// close waits for the machine's end, or ends it, and says what was wrong with it.
func (m *machine) close() error {
	for ok := m.ctx.Err() == nil; ok; {
		_, ok = m.next()
	}
	timeout := context.Cause(m.ctx)
	m.cancel()
	_ = m.cmd.Wait() // killed, or by itself: what counts is what it printed
	err := errors.Join(timeout, m.lines.Err(), m.log.Close())
	if len(m.bad) > 0 {
		err = errors.Join(err, fmt.Errorf("the kernel says: %s", strings.Join(m.bad, "; ")))
	}
	return err
}
