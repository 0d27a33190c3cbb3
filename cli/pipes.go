package cli

import (
	"io"
	"os"
	"sync"
	"time"
)

// pipes join a command's standard files to the caller's.
type pipes struct {
	theirs []*os.File
	ours   []*os.File
	output sync.WaitGroup
}

// to makes a pipe whose other end is copied to w.
func (p *pipes) to(w io.Writer) (*os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.theirs, p.ours = append(p.theirs, write), append(p.ours, read)
	p.output.Go(func() { io.Copy(w, read) })
	return write, nil
}

// from makes a pipe into which r is copied.
func (p *pipes) from(r io.Reader) (*os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.theirs, p.ours = append(p.theirs, read), append(p.ours, write)
	go func() {
		io.Copy(write, r)
		write.Close()
	}()
	return read, nil
}

// closeTheirs is called once the command has its own copies.
func (p *pipes) closeTheirs() {
	for _, f := range p.theirs {
		f.Close()
	}
	p.theirs = nil
}

// drain waits for the rest of the output. A child that the command left behind
// may hold the pipes for ever: it is waited for only briefly.
func (p *pipes) drain() {
	done := make(chan struct{})
	go func() { p.output.Wait(); close(done) }()
	waitBriefly(done)
}

func (p *pipes) close() {
	p.closeTheirs()
	for _, f := range p.ours {
		f.Close()
	}
}

const drainTime = 500 * time.Millisecond

func waitBriefly(done <-chan struct{}) {
	select {
	case <-done:
	case <-time.After(drainTime):
	}
}
