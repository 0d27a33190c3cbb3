package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// table is laid out as kubectl's are.
type table struct {
	*tabwriter.Writer
	namespaces bool // are the first column
}

func newTable(out io.Writer, namespaces bool, head ...string) table {
	t := table{tabwriter.NewWriter(visibleWriter{out}, 0, 8, 3, ' ', 0), namespaces}
	t.row("NAMESPACE", head...)
	return t
}

func (t table) row(namespace string, cells ...string) {
	if t.namespaces {
		cells = append([]string{namespace}, cells...)
	}
	fmt.Fprintln(t, strings.Join(cells, "\t"))
}
