package cli

import "io"

// The keys that leave a terminal as docker and podman have them: Ctrl-P, Ctrl-Q.
const (
	ctrlP = 0x10
	ctrlQ = 0x11
)

// detachReader ends with errDetached when the keys come. A Ctrl-P waits for
// the next key.
type detachReader struct {
	from  io.Reader
	owed  bool // a Ctrl-P came
	left  bool // and then a Ctrl-Q
	ready []byte
}

func (d *detachReader) Read(b []byte) (int, error) {
	for len(d.ready) == 0 {
		if d.left {
			return 0, errDetached
		}
		buf := make([]byte, 1024)
		n, err := d.from.Read(buf)
		if err != nil {
			return 0, err
		}
		for _, key := range buf[:n] {
			switch {
			case d.left:
				continue
			case d.owed && key == ctrlQ:
				d.left = true
				continue
			case d.owed:
				d.ready = append(d.ready, ctrlP)
				d.owed = false
			}
			if key == ctrlP {
				d.owed = true
			} else {
				d.ready = append(d.ready, key)
			}
		}
	}
	n := copy(b, d.ready)
	d.ready = d.ready[n:]
	return n, nil
}
