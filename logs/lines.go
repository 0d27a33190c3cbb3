package logs

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"time"
)

// readSize is the buffer for reading, in bytes. Longer lines come in pieces.
const readSize = 64 << 10

// piece is a line of a file, without its newline, or a part of one that is too long for the buffer.
type piece struct {
	text        []byte
	first, last bool
}

// lineReader reads lines of any length in bounded memory. After an io.EOF it may go on: an unfinished line stays until
// the rest of it has come.
type lineReader struct {
	src        io.Reader
	buf        []byte
	start, end int
	within     bool // a part of this line was returned already
}

// next returns the next piece; it is valid until the next call.
func (l *lineReader) next() (piece, error) {
	if l.buf == nil {
		l.buf = make([]byte, readSize)
	}
	for scanned := l.start; ; {
		if i := bytes.IndexByte(l.buf[scanned:l.end], '\n'); i >= 0 {
			p := piece{l.buf[l.start : scanned+i], !l.within, true}
			l.start, l.within = scanned+i+1, false
			return p, nil
		}
		if l.end-l.start == len(l.buf) {
			p := piece{l.buf, !l.within, false}
			l.start, l.end, l.within = 0, 0, true
			return p, nil
		}
		l.end = copy(l.buf, l.buf[l.start:l.end])
		l.start, scanned = 0, l.end
		n, err := l.src.Read(l.buf[l.end:])
		l.end += n
		if n == 0 && err != nil {
			return piece{}, err
		}
	}
}

// rest returns what is there of an unfinished line.
func (l *lineReader) rest() (p piece, ok bool) {
	p = piece{l.buf[l.start:l.end], !l.within, false}
	return p, len(p.text) > 0
}

// printer prints the text of records.
type printer struct {
	out     io.Writer
	o       ReadOptions
	since   string // o.Since in stampFormat, or empty
	buf     []byte
	err     error // of the last Write
	mid     bool  // the last line printed has no newline yet
	show    bool  // the current line is printed
	partial bool  // the current line is a part of one
}

func newPrinter(out io.Writer, o ReadOptions) *printer {
	p := &printer{out: out, o: o, show: true}
	if !o.Since.IsZero() {
		p.since = o.Since.UTC().Format(stampFormat)
	}
	return p
}

// print prints a piece of a line, if it is wanted.
func (p *printer) print(line piece) {
	if line.first {
		line.text = p.begin(line.text)
	}
	if !p.show {
		return
	}
	p.buf = append(p.buf, line.text...)
	p.mid = true
	if line.last && !p.partial {
		p.endLine()
	}
	if len(p.buf) >= readSize || !p.mid && len(p.buf) >= readSize/2 {
		p.flush()
	}
}

// begin decides what becomes of a line by its beginning, and returns the text in that.
func (p *printer) begin(text []byte) []byte {
	r, ok := parseRecord(text)
	if !ok {
		// It has no time and no stream of its own, so it shares the fate of the line before it.
		p.partial = false
		if p.show {
			p.endLine()
			p.buf = append(p.buf, p.o.Prefix...)
		}
		return text
	}
	p.partial = r.partial
	p.show = wanted(r.stream, p.o.Streams) && !p.older(r.stamp)
	if p.show && !p.mid {
		p.buf = append(p.buf, p.o.Prefix...)
		if p.o.Timestamps {
			p.buf = append(append(p.buf, r.stamp...), ' ')
		}
	}
	return r.text
}

// older reports whether a time is before Since.
func (p *printer) older(stamp []byte) bool {
	if p.since == "" {
		return false
	}
	if isFixedStamp(stamp) {
		return string(stamp) < p.since
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	return err == nil && at.Before(p.o.Since)
}

// rest prints what is there of an unfinished line, at the end of a file that nobody writes any more, or without waiting
// for more of it. A header that is not whole tells nothing and is left out.
func (p *printer) rest(l *lineReader) {
	line, ok := l.rest()
	if !ok {
		return
	}
	if line.first {
		if _, ok := parseRecord(line.text); !ok {
			return
		}
	}
	p.print(line)
}

// endLine ends the line that was printed last.
func (p *printer) endLine() {
	if p.mid {
		p.buf = append(p.buf, '\n')
		p.mid = false
	}
}

// flush writes what was printed.
func (p *printer) flush() error {
	if p.err == nil && len(p.buf) > 0 {
		if _, err := p.out.Write(p.buf); err != nil {
			p.err = fmt.Errorf("print log: %w", err)
		}
	}
	p.buf = p.buf[:0]
	return p.err
}

// wanted reports whether a stream is one of those; none means all.
func wanted(s Stream, streams []Stream) bool {
	return len(streams) == 0 || slices.Contains(streams, s)
}
