package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// outward are the tests of chaos of what gets out of a container, or into one, but
// for those that do not depend on the kernel.
const outward = "^Test(GoldenLists|Escapes.*|ForgedLogs|Secrets|ControlSocket)$"

var (
	testLine = regexp.MustCompile(`^--- ([A-Z]+): (Test\S+) `)
	lastLine = regexp.MustCompile(`^(PASS|FAIL)$`) // after it come the counts of chaos
)

// escapes runs them in a machine with Debian's programs, cgroup v2 only, and no systemd.
func escapes(ctx context.Context, b *bench) error {
	const name = "escapes"
	if err := forget(name); err != nil {
		return err
	}
	m, err := b.bootTests(ctx, name, 30*time.Minute, "tests="+b.tests)
	if err != nil {
		return err
	}
	passed, counting, zero := 0, false, false
	for line, ok := m.next(); ok; line, ok = m.next() {
		test := testLine.FindStringSubmatch(line)
		switch {
		case test != nil && test[1] == "PASS":
			passed++
		case test != nil:
			fmt.Println(line)
		case lastLine.MatchString(line):
			counting = true
		case line == "exit code 0":
			counting, zero = false, true
		case counting:
			fmt.Println("escapes:", line)
		}
	}
	err = m.close()
	fmt.Printf("escapes: %d tests\n", passed)
	if !zero || passed == 0 {
		err = errors.Join(err, fmt.Errorf("they did not all pass; what they said is in %s", logOf(name)))
	}
	return err
}
