//go:build steps

package step

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// Dir is the environment variable that names a directory. Every process of podrun
// that has it adds the steps that it passes to the file "trace" there, a line each:
//
//	<command>/<change>/<n>/<before or after>
//
// where n counts the changes of that name in one process, from 1. The file "kill"
// holds such lines too: the process that comes to the step on the first one takes
// that line away and kills itself. It is looked at anew at every step, so a test
// can write it at any time, and a monitor that is started again does not end
// where the one before it did, unless the next line says so.
const Dir = "PODRUN_STEPS"

var (
	dir   = os.Getenv(Dir)
	mu    sync.Mutex
	role  = "podrun"
	count = map[string]int{}
)

// As says which command this process runs: the first part of its steps' names.
func As(command string) {
	mu.Lock()
	defer mu.Unlock()
	role = command
}

// Change marks a change to the world: here before it, and where the function that
// it returns is called, after it.
func Change(name string) func() {
	if dir == "" {
		return func() {}
	}
	mu.Lock()
	count[name]++
	this := fmt.Sprintf("%s/%s/%d/", role, name, count[name])
	mu.Unlock()
	pass(this + "before")
	return func() { pass(this + "after") }
}

// Environment is what a process of podrun passes on to one that it starts with an
// environment of its own, so that their steps are counted together.
func Environment() []string {
	if dir == "" {
		return nil
	}
	return []string{Dir + "=" + dir}
}

// pass notes one step, and is the end of the process where it is told so.
func pass(this string) {
	trace, err := os.OpenFile(filepath.Join(dir, "trace"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return // the test is over
	}
	if err == nil {
		_, err = trace.WriteString(this + "\n")
		err = errors.Join(err, trace.Close())
	}
	if err != nil {
		panic(fmt.Errorf("note a step: %w", err))
	}
	if !claim(this) {
		return
	}
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal may reach another thread first
}

// claim tells whether this process is to end here, and takes the order away: of
// several processes one follows it.
func claim(this string) bool {
	order := filepath.Join(dir, "kill")
	text, err := os.ReadFile(order)
	if err != nil || !strings.HasPrefix(string(text), this+"\n") {
		return false
	}
	mine := fmt.Sprintf("%s.%d", order, os.Getpid())
	if os.Rename(order, mine) != nil {
		return false // another was faster
	}
	if rest := strings.TrimPrefix(string(text), this+"\n"); rest != "" {
		if err := os.WriteFile(mine, []byte(rest), 0o600); err != nil {
			panic(fmt.Errorf("note the next step to end at: %w", err))
		}
		if err := os.Rename(mine, order); err != nil {
			panic(fmt.Errorf("note the next step to end at: %w", err))
		}
	}
	return true
}
