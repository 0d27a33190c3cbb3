package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	v1 "k8s.io/api/core/v1"

	"podrun/logs"
	"podrun/runtime"
)

// output is the way of a container's output from its pipes to its log. The
// pipes and the position are kept by pause, so that a new monitor goes on with
// the very next byte.
type output struct {
	m        *monitor
	id       string
	writer   *logs.Writer
	position *logs.Position
	pipes    [2]logs.Pipes
	console  *console // of a container with a terminal
	audience audience // who is attached
	copies   sync.WaitGroup
	ended    chan struct{} // closed when all output is in the log
}

var streams = [2]logs.Stream{logs.Stdout, logs.Stderr}

// pipeEnds are the parts of one stream's pipes, as pause knows them.
func pipeEnds(p *logs.Pipes) map[string]**os.File {
	return map[string]**os.File{"source": &p.Source, "stage-read": &p.StageRead, "stage-write": &p.StageWrite}
}

func keptName(id string, s logs.Stream, end string) string {
	return fmt.Sprintf("%s/%s/%s", id, s, end)
}

// newOutput makes the standard files of a new container, gives to pause what has
// to outlive this monitor, and starts to copy. The caller passes the container's
// ends on and closes them.
func (m *monitor) newOutput(a *attempt, c *v1.Container) (_ *output, _ runtime.Streams, err error) {
	o := &output{m: m, id: a.id, ended: make(chan struct{})}
	o.audience.remark = c.Stdin || c.TTY
	var ends runtime.Streams
	defer func() {
		if err != nil {
			ends.Close()
			o.drop()
		}
	}()
	for i, target := range []**os.File{&ends.Stdout, &ends.Stderr} {
		if *target, o.pipes[i], err = logs.NewPipes(); err != nil {
			return nil, ends, fmt.Errorf("make output pipes: %w", err)
		}
		for end, f := range pipeEnds(&o.pipes[i]) {
			if err := m.pause.Keep(keptName(a.id, streams[i], end), *f); err != nil {
				return nil, ends, err
			}
		}
	}
	switch {
	case c.TTY:
		err = o.newConsole(&ends)
	case c.Stdin:
		ends.Stdin, err = o.newStdin()
	}
	if err != nil {
		return nil, ends, err
	}
	return o, ends, o.start(a)
}

// oldOutput takes over the pipes of a container that another monitor started.
func (m *monitor) oldOutput(a *attempt) (_ *output, err error) {
	o := &output{m: m, id: a.id, ended: make(chan struct{})}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	for i := range o.pipes {
		for end, f := range pipeEnds(&o.pipes[i]) {
			if *f, err = m.pause.Take(keptName(a.id, streams[i], end)); err != nil {
				return nil, err
			}
		}
	}
	if err := o.oldConsole(); err != nil {
		return nil, err
	}
	return o, o.start(a)
}

func (o *output) start(a *attempt) (err error) {
	memory, err := o.m.outputMemory()
	if err != nil {
		return err
	}
	if o.position, err = logs.MapPosition(memory, a.slot); err != nil {
		return err
	}
	path := filepath.Join(o.m.logPath(a.name), strconv.Itoa(a.number)+".log")
	if o.writer, err = logs.NewWriter(path, o.position, logs.Options{Stalled: o.stalled, Tap: o.audience.hear}); err != nil {
		return err
	}
	for i := range o.pipes {
		o.copies.Go(func() {
			if err := o.writer.Copy(streams[i], o.pipes[i]); err != nil && !errors.Is(err, os.ErrClosed) {
				fmt.Fprintf(os.Stderr, "podrun: log of container %s: %v\n", o.id, err)
			}
		})
	}
	go func() {
		o.copies.Wait()
		o.audience.dismiss()
		close(o.ended)
	}()
	return nil
}

func (o *output) stalled(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "podrun: log of container %s waits: %v\n", o.id, err)
	}
}

// close stops copying. What is not in the log stays with pause.
func (o *output) close() {
	if o.writer != nil {
		o.writer.Close()
	}
	o.copies.Wait()
	for i := range o.pipes {
		for _, f := range pipeEnds(&o.pipes[i]) {
			if *f != nil {
				(*f).Close()
			}
		}
	}
	o.console.close()
	if o.position != nil {
		o.position.Close()
	}
}

// drop ends the output and lets pause close the pipes.
func (o *output) drop() error {
	o.close()
	var errs []error
	for i := range o.pipes {
		for end := range pipeEnds(&o.pipes[i]) {
			errs = append(errs, o.m.pause.Drop(keptName(o.id, streams[i], end)))
		}
	}
	for _, name := range append(consoleNames(o.id), releaseName(o.id)) {
		errs = append(errs, o.m.pause.Drop(name))
	}
	return errors.Join(errs...)
}

// outputMemory is the memory of all positions, kept by pause.
func (m *monitor) outputMemory() (*os.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.memory != nil {
		return m.memory, nil
	}
	const name = "output-positions"
	f, err := m.pause.Take(name)
	if errors.Is(err, os.ErrNotExist) {
		if f, err = logs.NewMemory(); err != nil {
			return nil, err
		}
		err = m.pause.Keep(name, f)
	}
	if err != nil {
		return nil, err
	}
	m.memory = f
	return f, nil
}

func (m *monitor) logPath(container string) string {
	return filepath.Join(m.record.LogPath(), container)
}
