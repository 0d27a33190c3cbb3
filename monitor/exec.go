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
	e, err := a.container.Exec(runtime.Command{Args: argv, Stdout: write, Stderr: write, Contained: true})
	write.Close()
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
	exit, err := e.Wait()
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
