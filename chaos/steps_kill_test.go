package chaos

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// killStep is a step as package step writes it, or several, a line each, for one
// process after the other. Where a session has several
// processes of one kind, it is the one that ran with the nth command; 0 is any.
type killStep struct {
	line    string
	command int
	passed  int // the command with which it was passed
}

// change is the step without its number: role, name, and before or after. In brief
// the role is left out.
func (k killStep) change() string {
	if *brief {
		return keyOf(k.line)
	}
	parts := strings.Split(k.line, "/")
	return strings.Join(slices.Delete(parts, 2, 3), "/")
}

// name is that of the change.
func (k killStep) name() string { return strings.Split(k.line, "/")[1] }

// ofKeeper tells whether the step is one of those who keep the sandbox.
func (k killStep) ofKeeper() bool { return isKeeper(strings.Split(k.line, "/")[0]) }

func isKeeper(role string) bool { return role == "pause" || role == "init" }

func (k killStep) String() string { return fmt.Sprintf("%s/%d", k.line, k.command) }

// commandLine stands in a trace where a command of the session begins.
const commandLine = "command"

// passed are the steps of the last session.
func (g *walkGround) passed(t *testing.T) []killStep {
	trace, err := os.ReadFile(g.trace())
	if err != nil {
		t.Fatal(err)
	}
	var steps []killStep
	times := map[string]int{}
	command := 0
	for line := range strings.Lines(string(trace)) {
		line = strings.TrimSpace(line)
		if line == commandLine {
			command++
			continue
		}
		times[line]++
		steps = append(steps, killStep{line, command, command})
	}
	for i := range steps {
		if times[steps[i].line] == 1 {
			steps[i].command = 0
		}
	}
	return steps
}
