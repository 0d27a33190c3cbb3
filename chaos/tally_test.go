package chaos

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
)

// A class of faults has a line of counts. What has to be zero is counted too: a
// test that finds one fails, and the line says how many there were.
type class struct {
	name   string
	counts []count
}

type count struct {
	what string
	n    int
}

var tallied struct {
	sync.Mutex
	classes []*class
}

// tally adds n to what is counted of a class, such as "steps killed", "faults
// injected", "bytes lost", "leaks", "escapes tried" or "escapes".
func tally(name, what string, n int) {
	tallied.Lock()
	defer tallied.Unlock()
	c := findClass(name)
	for i := range c.counts {
		if c.counts[i].what == what {
			c.counts[i].n += n
			return
		}
	}
	c.counts = append(c.counts, count{what, n})
}

func findClass(name string) *class {
	for _, c := range tallied.classes {
		if c.name == name {
			return c
		}
	}
	c := &class{name: name}
	tallied.classes = append(tallied.classes, c)
	return c
}

// printTally prints a line a class.
func printTally(w io.Writer) {
	tallied.Lock()
	defer tallied.Unlock()
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer table.Flush()
	for _, c := range tallied.classes {
		counts := make([]string, len(c.counts))
		for i, n := range c.counts {
			counts[i] = fmt.Sprintf("%s %d", n.what, n.n)
		}
		fmt.Fprintf(table, "%s\t%s\n", c.name, strings.Join(counts, ", "))
	}
}
