package logs

import (
	"errors"
	"os"
	"time"
)

// takeScratch waits for scratch: what keeps it from being had is that the process or the machine is out of descriptors
// or of memory, which passes.
func (w *Writer) takeScratch() (s *scratch, err error) {
	err = w.retry(func() (err error) {
		s, err = takeScratch()
		return err
	})
	return s, err
}

// retry calls f until it succeeds, whatever keeps the log from being written: a full disk gets room, a quota is raised, a
// directory that somebody removed is made again, descriptors are closed. It gives up only when the Writer is closed.
func (w *Writer) retry(f func() error) error {
	stalled := false
	for {
		err := f()
		if errors.Is(err, os.ErrClosed) {
			return err
		}
		if err != nil != stalled {
			stalled = err != nil
			if w.options.Stalled != nil {
				w.options.Stalled(err)
			}
		}
		if err == nil {
			return nil
		}
		select {
		case <-w.stopping:
			return os.ErrClosed
		case <-time.After(retryPause):
		}
	}
}
