package monitor

import (
	"errors"
	"io"
	"os"
	"sync/atomic"

	"podrun/runtime"
)

// What comes in to a container, and its terminal. Both ends that podrun needs
// are kept by pause, so that they outlive a monitor: a container must not see
// the end of its input, or a hang-up, because a monitor died.
//
//	stdin    what attach writes to: a pipe's write end, or the terminal's master
//	console  the terminal's master
//	screen   the write end of the standard output's pipe, into which the monitor
//	         copies what the terminal shows; from there it is output like any other
//
// A terminal cannot be teed: what a monitor had read of it and not yet written
// into the pipe is lost when it is killed, at most one read.
func consoleNames(id string) []string {
	return []string{id + "/stdin", id + "/console", id + "/screen"}
}

// console is the terminal of one container.
type console struct {
	master *os.File
	screen *os.File
	left   atomic.Bool // to the next monitor
}

// newStdin makes the pipe that a container reads; the caller passes the read end on.
func (o *output) newStdin() (*os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	return read, o.m.pause.Keep(o.id+"/stdin", write)
}

// newConsole takes the container's ends of the output pipes away: with a terminal
// it is the monitor who writes to the one, and nobody to the other.
func (o *output) newConsole(ends *runtime.Streams) error {
	o.console = &console{screen: ends.Stdout}
	err := errors.Join(o.m.pause.Keep(o.id+"/screen", ends.Stdout), ends.Stderr.Close())
	*ends = runtime.Streams{}
	return err
}

// show begins to copy what the terminal shows, and makes it the container's input too.
func (o *output) show(master *os.File, stdin bool) error {
	o.console.master = master
	err := o.m.pause.Keep(o.id+"/console", master)
	if stdin {
		err = errors.Join(err, o.m.pause.Keep(o.id+"/stdin", master))
	}
	go o.copyConsole()
	return err
}

// oldConsole takes over the terminal of a container that another monitor made,
// if it has one.
func (o *output) oldConsole() error {
	screen, err := o.m.pause.Take(o.id + "/screen")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	o.console = &console{screen: screen}
	o.console.master, err = o.m.pause.Take(o.id + "/console")
	if errors.Is(err, os.ErrNotExist) { // the container was not made, or its terminal has ended
		return errors.Join(screen.Close(), o.m.pause.Drop(o.id+"/screen"))
	}
	if err == nil {
		go o.copyConsole()
	}
	return err
}

// copyConsole ends with EIO, when the last process has closed the terminal. The
// end of the pipe is the end of the output.
func (o *output) copyConsole() {
	io.Copy(struct{ io.Writer }{o.console.screen}, struct{ io.Reader }{o.console.master})
	if o.console.left.Load() {
		return
	}
	o.m.pause.Drop(o.id + "/console")
	o.m.pause.Drop(o.id + "/screen")
	o.console.screen.Close()
}

func (c *console) close() {
	if c == nil {
		return
	}
	c.left.Store(true)
	if c.master != nil {
		c.master.Close()
	}
	c.screen.Close()
}
