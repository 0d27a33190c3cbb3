package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// session boots a machine that has the kernel, podrun and busybox, and nothing
// else, and lets guest/session look at a pod's life in it.
func session(ctx context.Context, b *bench) error {
	return b.checks(ctx, plan{name: "session", memory: 1024, kernel: []string{"job=session"}, limit: 10 * time.Minute})
}

// checks boots a machine that prints PASS or FAIL for each of its checks, and at
// the end its name and "complete". Before that it may boot again.
func (b *bench) checks(ctx context.Context, p plan) error {
	if err := forget(p.name); err != nil {
		return err
	}
	var c count
	for range max(1, p.boots) {
		m, err := b.boot(ctx, p)
		if err != nil {
			return err
		}
		for line, ok := m.next(); ok; line, ok = m.next() {
			c.read(line, p.name)
		}
		if err := m.close(); err != nil {
			return err
		}
		if c.complete || c.failed > 0 {
			break
		}
	}
	return c.result(p.name)
}

// count is what a machine has said of its checks.
type count struct {
	passed, failed int
	complete       bool
}

func (c *count) read(line, name string) {
	switch {
	case strings.HasPrefix(line, "PASS "):
		c.passed++
	case strings.HasPrefix(line, "FAIL "):
		c.failed++
		fmt.Println(line)
	case strings.HasPrefix(line, name+" complete"):
		c.complete = true
	}
}

func (c *count) result(name string) error {
	fmt.Printf("%s: %d checks\n", name, c.passed)
	switch {
	case c.failed > 0:
		return fmt.Errorf("%d of %d checks failed; all it said is in %s", c.failed, c.passed+c.failed, logOf(name))
	case !c.complete:
		return fmt.Errorf("it did not come to its end; the last it said is in %s", logOf(name))
	}
	return nil
}

func logOf(name string) string { return filepath.Join(cache, name+".log") }

// forget removes what a machine of the name has said in a run before.
func forget(name string) error {
	if err := os.Remove(logOf(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
