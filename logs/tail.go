package logs

import (
	"bytes"
	"fmt"
	"io"
)

// tail counts lines from the end of a log, over all of its files. A line ends with a record tagged F, with a line that is
// no record, or unfinished with the last record of all.
type tail struct {
	want    int
	streams []Stream
	count   int // line ends seen
}

// skip makes a file begin with the first of the last lines, if that is in it; otherwise done is false, and the file is
// printed whole.
func (t *tail) skip(f *file) (done bool, err error) {
	if f.zipped {
		return t.skipZipped(f)
	}
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("read log: %w", err)
	}
	offset, err := t.scan(f, info.Size())
	if err != nil {
		return false, fmt.Errorf("read log: %w", err)
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return false, fmt.Errorf("read log: %w", err)
	}
	return t.count > t.want, nil
}

// scan goes backwards through the first size bytes of f, in blocks, until it has seen one line end too many, and returns
// the offset after that; 0 if there are not so many.
func (t *tail) scan(f io.ReaderAt, size int64) (int64, error) {
	block := make([]byte, readSize)
	lineEnd := int64(-1) // after the newline of the line whose start is looked for
	for end := size; end > 0; {
		start := max(0, end-int64(len(block)))
		block = block[:end-start]
		if _, err := f.ReadAt(block, start); err != nil && err != io.EOF {
			return 0, err
		}
		for n := len(block); ; {
			n = bytes.LastIndexByte(block[:n], '\n')
			if n < 0 {
				break
			}
			lineStart := start + int64(n) + 1
			var known []byte
			if n+1+maxHeader <= len(block) {
				known = block[n+1:]
			}
			if stop, err := t.line(f, lineStart, lineEnd, known); stop || err != nil {
				return lineEnd, err
			}
			lineEnd = lineStart
		}
		end = start
	}
	if stop, err := t.line(f, 0, lineEnd, nil); stop || err != nil {
		return lineEnd, err
	}
	return 0, nil
}

// line counts the line from start to end, if that is known. header is its beginning, or nil if that has to be read.
func (t *tail) line(f io.ReaderAt, start, end int64, header []byte) (stop bool, err error) {
	if end <= start {
		return false, nil
	}
	width := min(maxHeader, end-start)
	if header == nil {
		header = make([]byte, width)
		if _, err := f.ReadAt(header, start); err != nil && err != io.EOF {
			return false, err
		}
	}
	r, ok := parseRecord(header[:width])
	if ok && !wanted(r.stream, t.streams) {
		return false, nil
	}
	if !ok || !r.partial || t.count == 0 {
		t.count++
	}
	return t.count > t.want, nil
}

// skipZipped reads a file twice: a zipped one can only be read forwards.
func (t *tail) skipZipped(f *file) (done bool, err error) {
	lines := 0
	for {
		p, err := f.lines.next()
		if err != nil {
			break // the end, or a damage that printing it will complain of
		}
		lines += lineEnds(p, t.streams)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, fmt.Errorf("read log: %w", err)
	}
	f.begin()
	f.skip = max(0, t.count+lines-t.want)
	t.count += lines
	return t.count > t.want, nil
}

// lineEnds returns how many line ends a piece of a file is, 0 or 1.
func lineEnds(p piece, streams []Stream) int {
	if !p.first {
		return 0
	}
	r, ok := parseRecord(p.text)
	if ok && (r.partial || !wanted(r.stream, streams)) {
		return 0
	}
	return 1
}
