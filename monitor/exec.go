package monitor

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"podrun/pod"
	"podrun/runtime"
)

// Exec runs a command for a probe; see [pod.Runtime].
func (m containers) Exec(ctx context.Context, container string, number int, argv []string) (pod.ExecResult, error) {
	a := m.find(container, number)
	if a == nil {
		return pod.ExecResult{}, fmt.Errorf("container %s is not running", container)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return pod.ExecResult{}, err
	}
	defer read.Close()
	e, err := m.begin(ctx, a, runtime.Command{Args: argv, Stdout: write, Stderr: write, Contained: true})
	if err != nil {
		return pod.ExecResult{}, err
	}
	killed := context.AfterFunc(ctx, func() {
		if err := e.KillAll(); err != nil {
			fmt.Fprintf(os.Stderr, "podrun: end a command in container %s: %v\n", container, err)
		}
	})
	defer killed()
	output := make(chan []byte, 1)
	go func() { output <- readSome(read) }()
	exit, err := waitUntil(ctx, e)
	if ctx.Err() != nil {
		return pod.ExecResult{}, ctx.Err()
	}
	if err != nil {
		return pod.ExecResult{}, err
	}
	// A child of the command may hold the pipe for ever.
	read.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	return pod.ExecResult{Code: exit.Code, Output: <-output}, nil
}

// begin starts a command and closes the caller's end of its output. In a container
// that is frozen it does not come to start before that goes on: it is given up
// when ctx ends, and ended should it start.
func (m containers) begin(ctx context.Context, a *attempt, c runtime.Command) (*runtime.Execution, error) {
	type begun struct {
		e   *runtime.Execution
		err error
	}
	select { // so that they do not become more and more
	case a.beginning <- struct{}{}:
	case <-ctx.Done():
		c.Stdout.Close()
		return nil, ctx.Err()
	}
	done := make(chan begun, 1)
	go func() {
		e, err := a.container.Exec(c)
		<-a.beginning
		c.Stdout.Close()
		done <- begun{e, err}
	}()
	select {
	case b := <-done:
		return b.e, b.err
	case <-ctx.Done():
	}
	go func() {
		if b := <-done; b.err == nil {
			b.e.KillAll()
			b.e.Wait()
		}
	}()
	return nil, ctx.Err()
}

// killWait is how long a command that is being killed is waited for: one that is
// frozen with its container does not end before that goes on.
const killWait = 2 * time.Second

// waitUntil waits for the end of a command, which is killed when ctx ends.
func waitUntil(ctx context.Context, e *runtime.Execution) (exit runtime.Exit, err error) {
	ended := make(chan struct{})
	var late runtime.Exit
	var failed error
	go func() {
		defer close(ended)
		late, failed = e.Wait()
	}()
	select {
	case <-ended:
		return late, failed
	case <-ctx.Done():
	}
	select {
	case <-ended:
		return late, failed
	case <-time.After(killWait):
		return exit, ctx.Err()
	}
}

// maxProbeOutput is the kubelet's limit (prober, maxReadLength).
const maxProbeOutput = 10 << 10

func readSome(f *os.File) []byte {
	var kept []byte
	buf := make([]byte, 4096)
	for {
		n, err := f.Read(buf)
		kept = append(kept, buf[:min(n, maxProbeOutput-len(kept))]...)
		if err != nil {
			return []byte(strings.TrimRight(string(kept), "\n"))
		}
	}
}
