package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lastScript is how long a script may take that began before the limit.
const lastScript = 8 * time.Minute

// mostAgain is how many scripts may fail and be tried once more.
const mostAgain = 10

// suite runs all scripts of the tests in a machine with Debian's programs, cgroup
// v2 only, and no systemd. What its kernel cannot do scripts know by a condition.
// The few that fail are tried once more, in a new machine that has nothing else to do:
// an emulated one may be too slow for what a script has timed.
func suite(ctx context.Context, b *bench) error {
	if err := forget("suite"); err != nil {
		return err
	}
	r, err := b.runScripts(ctx, b.scripts)
	if n := len(r.failed); err == nil && n > 0 && n <= mostAgain {
		fmt.Printf("suite: %d scripts are tried again: %s\n", n, strings.Join(r.failed, ", "))
		var again results
		again, err = b.runScripts(ctx, strings.Join(r.failed, ","))
		r.passed, r.failed = r.passed+again.passed, again.failed
	}
	fmt.Printf("suite: %d scripts\n", r.passed)
	if len(r.failed) > 0 {
		err = errors.Join(err, fmt.Errorf("%d scripts failed: %s", len(r.failed), strings.Join(r.failed, ", ")))
	}
	return err
}

// runScripts boots a machine that runs the scripts of the names, or all. The error is
// that it did not come to its end.
func (b *bench) runScripts(ctx context.Context, names string) (r results, err error) {
	expression := "."
	if names != "" {
		expression = "^(" + strings.ReplaceAll(names, ",", "|") + ")$"
	}
	m, err := b.bootTests(ctx, "suite", b.limit+lastScript, "scripts="+expression, "budget="+b.limit.String())
	if err != nil {
		return r, err
	}
	for line, ok := m.next(); ok; line, ok = m.next() {
		r.read(line)
	}
	err = m.close()
	if open := r.open(); !r.complete && len(open) > 0 {
		fmt.Printf("suite: %d scripts have not come to their end: %s\n", len(open), strings.Join(open, ", "))
	}
	for _, script := range r.failed {
		fmt.Printf("=== %s\n%s\n", script, strings.Join(r.said[script], "\n"))
	}
	if len(r.skipped) > 0 {
		fmt.Printf("suite: %d scripts are LEFT OUT: %s were over: %s\n", len(r.skipped), b.limit, strings.Join(r.skipped, ", "))
	}
	if !r.complete || r.passed+len(r.failed) == 0 || len(r.failed) == 0 && !r.zero {
		err = errors.Join(err, fmt.Errorf("it did not come to its end; the last it said is in %s", logOf("suite")))
	}
	return r, err
}

// bootTests boots a machine with Debian's programs, cgroup v2 only and no systemd,
// whose first process is guest/<name>.
func (b *bench) bootTests(ctx context.Context, name string, limit time.Duration, kernel ...string) (*machine, error) {
	disk, err := b.newDisk(ctx, name)
	if err != nil {
		return nil, err
	}
	return b.boot(ctx, plan{
		name: name, memory: 4096, limit: limit,
		kernel: append(kernel, "disk=yes", "first=/payload/guest/"+name, "patience="+strconv.Itoa(b.patience)),
		drives: []string{"format=raw,cache=unsafe,file=" + disk, b.payload()},
	})
}

// newDisk copies the disk with Debian.
func (b *bench) newDisk(ctx context.Context, name string) (string, error) {
	path := filepath.Join(b.dir, name+".ext4")
	return path, command(ctx, "cp", "--sparse=always", cache+"/debian.ext4", path)
}

// payload is the drive with the programs and tests.
func (b *bench) payload() string {
	return "format=raw,readonly=on,file=" + filepath.Join(b.dir, "payload.ext4")
}

// results is what the test binary, told -test.v, has printed.
type results struct {
	all            []string
	ended          map[string]bool // as far as the script itself goes
	passed         int
	failed         []string
	skipped        []string
	said           map[string][]string
	current        string
	complete, zero bool
}

// open are the scripts that have not ended.
func (r *results) open() []string {
	return slices.DeleteFunc(slices.Clone(r.all), func(script string) bool { return r.ended[script] })
}

var (
	resultLine = regexp.MustCompile(`^ +--- (PASS|FAIL|SKIP): TestScripts/(\S+) \((.*)\)`)
	nameLine   = regexp.MustCompile(`^=== ([A-Z]+) +TestScripts(?:/(\S+))?`)
	endLine    = regexp.MustCompile(`^ +(PASS$|FAIL: testdata/.*)`) // of testscript; go prints its own when all have ended
)

func (r *results) read(line string) {
	if n := nameLine.FindStringSubmatch(line); n != nil {
		if r.current = n[2]; n[1] == "RUN" && n[2] != "" {
			r.all = append(r.all, n[2])
		}
		return
	}
	if end := endLine.FindStringSubmatch(line); end != nil && r.current != "" && !r.ended[r.current] {
		if r.ended == nil {
			r.ended = make(map[string]bool)
		}
		r.ended[r.current] = true
		fmt.Printf("%s: %s (%d of %d)\n", r.current, end[1], len(r.ended), len(r.all))
	}
	n := resultLine.FindStringSubmatch(line)
	switch {
	case n != nil && n[1] == "PASS":
		r.passed++
		delete(r.said, n[2])
	case n != nil && n[1] == "SKIP":
		r.skipped = append(r.skipped, n[2])
	case n != nil:
		r.failed = append(r.failed, n[2])
	case strings.HasPrefix(line, "exit code "):
		r.zero = line == "exit code 0"
	case strings.HasPrefix(line, "suite complete"):
		r.complete = true
	default:
		if r.said == nil {
			r.said = make(map[string][]string)
		}
		r.said[r.current] = append(r.said[r.current], line)
		return
	}
	if n != nil && n[1] == "FAIL" {
		fmt.Println(strings.TrimSpace(line))
	}
}
