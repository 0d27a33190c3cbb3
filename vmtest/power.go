package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cuts are when the power goes: at that part of the time that the command takes,
// and at after when it has just ended.
var cuts = []struct {
	what string // a function of guest/power
	when float64
}{
	{"up", 0.1}, {"up", 0.3}, {"up", 0.5}, {"up", 0.7}, {"up", 0.9}, {"up", after},
	{"pull", 0.2}, {"pull", 0.5}, {"pull", 0.75}, {"pull", 0.95}, {"pull", after},
}

const after = 1000

// power cuts a machine's power in the middle of commands and boots the same disk,
// of which only what was flushed is sure to be there. guest/power looks at what was left.
func power(ctx context.Context, b *bench) (err error) {
	const name = "power"
	if err := forget(name); err != nil {
		return err
	}
	path, err := b.newDisk(ctx, name)
	if err != nil {
		return err
	}
	socket := filepath.Join(b.dir, "disk")
	disk, err := serveDisk(path, socket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.close()) }()
	e := &experiment{bench: b, disk: disk, random: rand.New(rand.NewPCG(b.seed, 0)), took: make(map[string]time.Duration)}
	e.plan = plan{name: name, memory: 1024, limit: 10 * time.Minute, drives: []string{"format=raw,file=nbd+unix:///?socket=" + socket, b.payload()}}
	fmt.Printf("power: -seed %d\n", b.seed)
	for round := range len(cuts) + 1 {
		if err := e.boot(ctx, round); err != nil {
			return fmt.Errorf("boot %d: %w", round, err)
		}
		if e.count.failed > 0 {
			break
		}
	}
	fmt.Printf("power: cut %d times, %d blocks lost that were not flushed\n", e.cut, e.lost)
	return e.count.result(name)
}

// experiment is one disk and what happens to it.
type experiment struct {
	*bench
	plan   plan
	disk   *volatileDisk
	random *rand.Rand
	took   map[string]time.Duration // the commands, uncut
	ended  bool                     // the last one that was cut had come to its end
	count  count
	cut    int
	lost   int
}

// boot boots the machine for the round, and cuts its power unless it is the last.
func (e *experiment) boot(ctx context.Context, round int) error {
	p := e.plan
	p.kernel = []string{"disk=yes", "first=/payload/guest/power", "round=" + strconv.Itoa(round)}
	if round > 0 {
		p.kernel = append(p.kernel, "before="+cuts[round-1].what)
	}
	if e.ended {
		p.kernel = append(p.kernel, "ended=yes")
	}
	last := round == len(cuts)
	if !last {
		p.kernel = append(p.kernel, "what="+cuts[round].what)
	}
	m, err := e.bench.boot(ctx, p)
	if err != nil {
		return err
	}
	e.ended = false
	var begin time.Time
	for line, ok := m.next(); ok; line, ok = m.next() {
		e.count.read(line, p.name)
		switch word, rest, _ := strings.Cut(line, " "); word {
		case "took":
			e.learn(rest)
		case "begin":
			begin = time.Now()
			if at := cuts[round].when; at != after {
				time.AfterFunc(time.Duration(at*float64(e.took[rest])), m.cut)
			}
		case "end":
			e.ended = true
			e.took[rest] = min(e.took[rest], time.Since(begin)) // the host may be less busy than it was
			m.cut()
		}
	}
	if err := m.close(); err != nil || last {
		return err
	}
	kept, lost, err := e.disk.cut(e.random)
	fmt.Printf("power: cut in %s, ended: %t; of what was not flushed %d blocks are there and %d lost\n", cuts[round].what, e.ended, kept, lost)
	e.cut++
	e.lost += lost
	return err
}

func (e *experiment) learn(text string) {
	what, ms, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(ms)
	if err == nil {
		e.took[what] = time.Duration(n) * time.Millisecond
	}
}
