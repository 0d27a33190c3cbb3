// Package logs owns the log of one container: the pipes that carry its output, the files that hold it, their format and
// rotation, and the reading and following of those files. The format and the layout are the kubelet's and the CRI's, so
// that log shippers work:
//
//	<dir>/<n>.log                    the attempt that was restarted n times
//	<dir>/<n>.log.20060102-150405    an older part of it, perhaps followed by .gz
//
//	2026-01-02T03:04:05.000000006Z stdout F a whole line, or the end of one
//	2026-01-02T03:04:05.000000006Z stderr P a part of a line that goes on in the next record of its stream
//
// It knows no containers and no pods: who runs, who keeps the descriptors while a writer is dead, and which attempt is
// the current one is the caller's to say.
package logs

import (
	"bytes"
	"time"
)

// Stream is one of the two outputs of a container.
type Stream uint8

// The streams of a container.
const (
	Stdout Stream = iota
	Stderr
)

// String returns the name of the stream in a log.
func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

const (
	// maxText is the most text a record carries, in bytes: containerd's max_container_log_line_size. What is longer
	// becomes several records tagged P and a last one tagged F.
	maxText = 16 << 10
	// stampFormat has a fixed width and is always written in UTC: a batch that is written again has the same length, and
	// times compare as strings. Readers of the CRI format accept every RFC 3339 time.
	stampFormat = "2006-01-02T15:04:05.000000000Z07:00"
	stampWidth  = len("2006-01-02T15:04:05.000000000Z")
	headerWidth = stampWidth + len(" stdout F ")
	// maxHeader bounds the header of a foreign writer: a local time has an offset instead of the Z, and tags may follow
	// the first one, separated by colons.
	maxHeader = 128
)

// appendHeader appends what stands before the text of a whole line.
func appendHeader(dst []byte, stream Stream, at time.Time) []byte {
	dst = at.UTC().AppendFormat(dst, stampFormat)
	dst = append(dst, ' ')
	dst = append(dst, stream.String()...)
	return append(dst, " F "...)
}

// appendRecords appends src as records to dst, as far as dst's capacity goes, and returns how many bytes of src they
// hold. A line without its newline is left over, unless it is longer than a record or flush is set; then it becomes a P
// record. The records depend on nothing but the header and the bytes used, so a batch can be made again from those.
func appendRecords(dst, src, header []byte, flush bool) (out []byte, used int) {
	for used < len(src) {
		rest := src[used:]
		text := rest[:min(len(rest), maxText+1)]
		end := bytes.IndexByte(text, '\n')
		whole := end >= 0
		switch {
		case whole:
			text = text[:end]
		case len(text) > maxText:
			text = text[:maxText]
		case !flush:
			return dst, used
		}
		if cap(dst)-len(dst) < len(header)+len(text)+1 {
			return dst, used
		}
		dst = append(dst, header...)
		used += len(text)
		if whole {
			used++
		} else {
			dst[len(dst)-2] = 'P'
		}
		dst = append(dst, text...)
		dst = append(dst, '\n')
	}
	return dst, used
}

// record is one line of a log file. Its slices point into the line.
type record struct {
	stamp   []byte
	stream  Stream
	partial bool
	text    []byte
}

// parseRecord takes one line of a log file apart; line may be cut anywhere in the text. ok is false if the line does not
// begin with a header of the CRI format.
func parseRecord(line []byte) (r record, ok bool) {
	stamp, rest, found := bytes.Cut(line[:min(len(line), maxHeader)], space)
	if !found || !isStamp(stamp) {
		return record{}, false
	}
	stream, rest, found := bytes.Cut(rest, space)
	if !found {
		return record{}, false
	}
	switch string(stream) {
	case "stdout":
	case "stderr":
		r.stream = Stderr
	default:
		return record{}, false
	}
	tags, _, found := bytes.Cut(rest, space)
	if !found {
		return record{}, false
	}
	tag, _, _ := bytes.Cut(tags, colon)
	r.partial = string(tag) == "P"
	if !r.partial && string(tag) != "F" {
		return record{}, false
	}
	r.stamp = stamp
	r.text = line[len(stamp)+len(stream)+len(tags)+3:]
	return r, true
}

var (
	space = []byte(" ")
	colon = []byte(":")
)

// isStamp reports whether b is a time in RFC 3339. Our own form is recognised without parsing it.
func isStamp(b []byte) bool {
	if isFixedStamp(b) {
		return true
	}
	_, err := time.Parse(time.RFC3339Nano, string(b))
	return err == nil
}

// isFixedStamp reports whether b has the form of stampFormat in UTC, so that it compares as a string.
func isFixedStamp(b []byte) bool {
	if len(b) != stampWidth {
		return false
	}
	const form = "0000-00-00T00:00:00.000000000Z"
	for i := range stampWidth {
		if form[i] == '0' {
			if b[i] < '0' || b[i] > '9' {
				return false
			}
		} else if b[i] != form[i] {
			return false
		}
	}
	return true
}

// clockSet is by how much less the clock has to say that it was set back, and
// not merely corrected a little.
const clockSet = int64(time.Second)

// stampAfter is the time of what is written now: not before the last, unless the
// clock was set back. Who reads must not find the time of a wrong clock for hours.
func stampAfter(last, now int64) int64 {
	if last-now > clockSet {
		return now
	}
	return max(last, now)
}
