package conformance

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// tally counts verdicts that agree, and keeps examples of those that do not.
type tally struct {
	sync.Mutex
	running sync.WaitGroup
	places  chan struct{}

	counts   map[result]int
	sound    int                 // that the server takes
	examples map[string][]string // what differs -> on which objects
}

func newTally() *tally {
	return &tally{places: make(chan struct{}, runtime.NumCPU()), counts: map[result]int{}, examples: map[string][]string{}}
}

// hold compares the verdicts about an object beside others.
func (c *tally) hold(name string, data []byte) {
	c.beside(func() { c.count(name, data) })
}

// beside runs a function beside others, of as many as there are processors.
func (c *tally) beside(f func()) {
	c.places <- struct{}{}
	c.running.Go(func() {
		defer func() { <-c.places }()
		f()
	})
}

func (c *tally) count(name string, data []byte) {
	r, what := compare(data)
	sound := server(data).ok()
	c.Lock()
	defer c.Unlock()
	c.counts[r]++
	if sound {
		c.sound++
	}
	if r == differ {
		for line := range strings.Lines(what) {
			line = values.ReplaceAllString(strings.TrimSpace(line), "$1…")
			c.examples[line] = append(c.examples[line], name+"\n      "+string(data))
		}
	}
}

// values are what complaints quote; differences are told apart without them.
var values = regexp.MustCompile(`((?:Invalid|Unsupported|Duplicate) value: )(?:"[^"]*"|-?\d+)`)

// report prints the share that agrees, and fails with what differs.
func (c *tally) report(t *testing.T) {
	t.Helper()
	c.running.Wait()
	all := c.counts[agree] + c.counts[byTable] + c.counts[differ]
	t.Logf("%d manifests: %.2f %% agree (the server takes %d; podrun refuses a field of %d by the table)", all, 100*float64(all-c.counts[differ])/float64(max(all, 1)), c.sound, c.counts[byTable])
	const shown = 25
	keys := slices.SortedFunc(maps.Keys(c.examples), func(a, b string) int { return cmp.Or(len(c.examples[b])-len(c.examples[a]), cmp.Compare(a, b)) })
	for i, k := range keys {
		if i == shown {
			t.Errorf("and %d more differences", len(keys)-shown)
			break
		}
		example := c.examples[k][0]
		if len(example) > 300 && os.Getenv("FULL") == "" {
			example = example[:300] + "…"
		}
		t.Errorf("%d times: %s\n   first with %s", len(c.examples[k]), k, example)
	}
}

func encode(t *testing.T, o map[string]any) []byte {
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func corpusDirectory(t *testing.T) string {
	dir := corpusDir()
	if dir == "" {
		t.Skipf("no manifests of others: %s names no directory, and ../../shared/corpus is none", corpusVariable)
	}
	return dir
}

func samples(t *testing.T) []sample {
	list, err := corpus(corpusDirectory(t))
	if err != nil || len(list) == 0 {
		t.Fatal(len(list), err)
	}
	return list
}

func TestCorpus(t *testing.T) {
	c := newTally()
	for _, s := range samples(t) {
		c.hold(s.name, encode(t, s.object))
	}
	c.report(t)
}

func TestMutatedCorpus(t *testing.T) {
	c, m := newTally(), mutator{2, map[string]int{}}
	for _, s := range samples(t) {
		m.mutations(clone(s.object), func(what string, data []byte) { c.hold(fmt.Sprintf("%s: %s", s.name, what), data) })
	}
	c.report(t)
}

// full are the pods and objects of testdata, each of which the server takes.
func full(t *testing.T) []sample {
	data, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	list, err := objects("full.yaml", data)
	if err != nil || len(list) < 5 {
		t.Fatal(len(list), err)
	}
	for _, s := range list {
		if v := server(encode(t, s.object)); !v.ok() {
			t.Errorf("%s %v: the server refuses it: %v", s.name, s.object["metadata"], v.complaints)
		}
	}
	return list
}

func TestFull(t *testing.T) {
	c := newTally()
	for _, s := range full(t) {
		c.hold(s.name, encode(t, s.object))
	}
	c.report(t)
}

func TestMutatedFull(t *testing.T) {
	c, m := newTally(), mutator{1, map[string]int{}}
	for _, s := range full(t) {
		m.mutations(clone(s.object), func(what string, data []byte) { c.hold(fmt.Sprintf("%s: %s", s.name, what), data) })
	}
	c.report(t)
}

// number is what a variable of the environment says, or else a default.
func number(t *testing.T, variable string, otherwise uint64) uint64 {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// TestRandom holds Pods of random fields. PODRUN_SEED repeats a run, PODRUN_PODS makes it longer.
func TestRandom(t *testing.T) {
	seed, pods := number(t, "PODRUN_SEED", rand.Uint64()), number(t, "PODRUN_PODS", 10_000)
	t.Logf("%d Pods of PODRUN_SEED=%d", pods, seed)
	c, g := newTally(), generator{rand.New(rand.NewPCG(seed, 0)), false}
	for i := range pods {
		g.tame = i%2 == 1
		c.hold(fmt.Sprintf("random %d", i), g.pod())
	}
	c.report(t)
}
