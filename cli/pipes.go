package cli

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// pipes join a command's standard files to the caller's.
type pipes struct {
	theirs []*os.File
	inputs []*os.File // our ends of what the command reads
	output []*drained // our ends of what it writes
	copies sync.WaitGroup
}

// to makes a pipe whose other end is copied to w.
func (p *pipes) to(w io.Writer) (*os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	d := &drained{File: read}
	p.theirs, p.output = append(p.theirs, write), append(p.output, d)
	p.copies.Go(func() { io.Copy(w, d) })
	return write, nil
}

// from makes a pipe into which r is copied.
func (p *pipes) from(r io.Reader) (*os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.theirs, p.inputs = append(p.theirs, read), append(p.inputs, write)
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

// drain waits until all that the command has written is copied, however slow
// the reader is.
func (p *pipes) drain() {
	for _, d := range p.output {
		d.finish()
	}
	p.copies.Wait()
}

func (p *pipes) close() {
	p.closeTheirs()
	for _, f := range p.inputs {
		f.Close()
	}
	for _, d := range p.output {
		d.Close()
	}
}

// drainTime is how long an ended command's output is waited for. A child that it
// left behind may hold the other end for ever.
const drainTime = 500 * time.Millisecond

// drained is the reading end of a command's output. Once the command has ended,
// a read that brings nothing new for drainTime ends it.
type drained struct {
	*os.File
	over atomic.Bool
}

func (d *drained) Read(b []byte) (int, error) {
	if d.over.Load() {
		d.SetReadDeadline(time.Now().Add(drainTime))
	}
	return d.File.Read(b)
}

// WriteTo is not the file's, which would not come back to Read.
func (d *drained) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{d})
}

// finish says that the command has ended; a read may be under way.
func (d *drained) finish() {
	d.over.Store(true)
	d.SetReadDeadline(time.Now().Add(drainTime))
}
