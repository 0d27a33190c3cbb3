package document

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a source. Line and Column count from 1; a column is counted in characters.
type Position struct {
	File         string
	Line, Column int
}

func (p Position) String() string {
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Problem is one complaint about a source. Path is the field's path inside its object
// (spec.containers[0].image) and empty where no field is to blame.
type Problem struct {
	Position
	Path, Text string
}

// Error gives the complaint as file:line:col: field.path: text.
func (p Problem) Error() string {
	if p.Path == "" {
		return p.Position.String() + ": " + p.Text
	}
	return p.Position.String() + ": " + p.Path + ": " + p.Text
}

// Problems are all complaints about one or several sources, in the order in which a person meets them.
type Problems []Problem

// Error gives one complaint a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Sort orders complaints about one source by position, and drops what is said twice: an anchor used
// several times is checked once for each use.
func (ps Problems) Sort() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Text, b.Text))
	})
	return slices.CompactFunc(ps, func(a, b Problem) bool { return a == b })
}
