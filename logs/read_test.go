package logs

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const (
	t1 = "2026-01-02T03:04:01.000000000Z "
	t2 = "2026-01-02T03:04:02.000000000Z "
	t3 = "2026-01-02T03:04:03.000000000Z "
)

// writeFiles makes a container's log directory; names that end in .gz are zipped.
func writeFiles(t testing.TB, files map[string]string) string {
	t.Helper()
	directory := t.TempDir()
	for name, content := range files {
		if strings.HasSuffix(name, ".gz") && !strings.HasPrefix(content, "damaged") {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			io.WriteString(z, content)
			z.Close()
			content = b.String()
		}
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

func TestRead(t *testing.T) {
	plain := map[string]string{"0.log": t1 + "stdout F a\n" + t2 + "stderr F b\n" + t3 + "stdout F c\n"}
	rotated := map[string]string{
		"0.log.20260101-000000.gz":  t1 + "stdout F a\n" + t1 + "stdout F b\n",
		"0.log.20260102-000001":     t3 + "stdout P D\n",
		"0.log":                     t3 + "stdout F e\n" + t3 + "stdout F f\n",
		"0.log.20260103-000000.tmp": "a compression that was killed",
		"1.log":                     t3 + "stdout F other\n",
	}
	rotated["0.log.20260102-000000"] = t2 + "stdout F c\n" + t2 + "stdout P d\n"
	partial := map[string]string{"0.log": t1 + "stdout P a\n" + t1 + "stdout P b\n" + t1 + "stdout F c\n" + t2 + "stdout P $ \n"}
	garbage := map[string]string{"0.log": t1 + "stdout F a\nnobody knows\n\n" + t2 + "stdlog F x\n" + t3 + "stdout F b\n"}
	foreign := map[string]string{"0.log": "2026-01-02T05:04:01.5+02:00 stdout F a\n2026-01-02T05:04:03+02:00 stderr P:x b\n" +
		"2026-01-02T03:04:03Z stderr F:x:y c\n"}
	tests := []struct {
		name  string
		files map[string]string
		o     ReadOptions
		want  string
	}{
		{"all", plain, ReadOptions{Tail: All}, "a\nb\nc\n"},
		{"tail", plain, ReadOptions{Tail: 2}, "b\nc\n"},
		{"tail of more than there is", plain, ReadOptions{Tail: 9}, "a\nb\nc\n"},
		{"tail of nothing", plain, ReadOptions{}, ""},
		{"tail of one stream", plain, ReadOptions{Tail: 2, Streams: []Stream{Stdout}}, "a\nc\n"},
		{"one stream", plain, ReadOptions{Tail: All, Streams: []Stream{Stderr}}, "b\n"},
		{"since", plain, ReadOptions{Tail: All, Since: time.Date(2026, 1, 2, 3, 4, 2, 0, time.UTC)}, "b\nc\n"},
		{"since in another zone", plain, ReadOptions{Tail: All,
			Since: time.Date(2026, 1, 2, 6, 4, 2, 1, time.FixedZone("", 3*3600))}, "c\n"},
		{"times", plain, ReadOptions{Tail: 1, Timestamps: true}, t3 + "c\n"},
		{"prefix", plain, ReadOptions{Tail: 1, Timestamps: true, Prefix: "[p/c] "}, "[p/c] " + t3 + "c\n"},
		{"rotated", rotated, ReadOptions{Tail: All}, "a\nb\nc\ndDe\nf\n"},
		{"rotated, another attempt", rotated, ReadOptions{Tail: All, Attempt: 1}, "other\n"},
		{"rotated, newest attempt", rotated, ReadOptions{Tail: All, Attempt: Newest}, "other\n"},
		{"rotated, tail 1", rotated, ReadOptions{Tail: 1}, "f\n"},
		{"rotated, tail of a line over three files", rotated, ReadOptions{Tail: 2}, "dDe\nf\n"},
		{"rotated, tail 3", rotated, ReadOptions{Tail: 3}, "c\ndDe\nf\n"},
		{"rotated, tail into a zipped file", rotated, ReadOptions{Tail: 4}, "b\nc\ndDe\nf\n"},
		{"rotated, tail of all", rotated, ReadOptions{Tail: 5}, "a\nb\nc\ndDe\nf\n"},
		{"parts", partial, ReadOptions{Tail: All}, "abc\n$ "},
		{"parts with times", partial, ReadOptions{Tail: All, Timestamps: true}, t1 + "abc\n" + t2 + "$ "},
		{"an unfinished line is a line", partial, ReadOptions{Tail: 1}, "$ "},
		{"parts, tail", partial, ReadOptions{Tail: 2}, "abc\n$ "},
		{"lines that are no records", garbage, ReadOptions{Tail: All}, "a\nnobody knows\n\n" + t2 + "stdlog F x\nb\n"},
		{"lines that are no records, tail", garbage, ReadOptions{Tail: 3}, "\n" + t2 + "stdlog F x\nb\n"},
		{"lines that are no records go with those before", garbage, ReadOptions{Tail: All,
			Since: time.Date(2026, 1, 2, 3, 4, 3, 0, time.UTC)}, "b\n"},
		{"records of others", foreign, ReadOptions{Tail: All}, "a\nbc\n"},
		{"records of others, since", foreign, ReadOptions{Tail: All, Since: time.Date(2026, 1, 2, 3, 4, 2, 0, time.UTC)}, "bc\n"},
		{"an unfinished record", map[string]string{"0.log": t1 + "stdout F a\n" + t2 + "stdout F b"}, ReadOptions{Tail: All}, "a\nb"},
		{"an unfinished header", map[string]string{"0.log": t1 + "stdout F a\n" + t2 + "std"}, ReadOptions{Tail: All}, "a\n"},
		{"only an old part, between rename and creation", map[string]string{"0.log.20260102-000000": t1 + "stdout F a\n"},
			ReadOptions{Tail: All}, "a\n"},
		{"empty", map[string]string{"0.log": ""}, ReadOptions{Tail: 3}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			if err := Read(t.Context(), writeFiles(t, test.files), test.o, &out); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	var out strings.Builder
	err := Read(t.Context(), filepath.Join(t.TempDir(), "none"), ReadOptions{Tail: All}, &out)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no log: got %v, want os.ErrNotExist", err)
	}
	directory := writeFiles(t, map[string]string{"0.log.20260101-000000.gz": "damaged", "0.log": t1 + "stdout F a\n"})
	err = Read(t.Context(), directory, ReadOptions{Tail: All}, &out)
	if err == nil || out.String() != "a\n" {
		t.Errorf("damaged part: got %q, %v, want the other part and an error", out.String(), err)
	}
	directory = writeFiles(t, map[string]string{"0.log": t1 + "stdout F a\n"})
	err = Read(t.Context(), directory, ReadOptions{Tail: All}, brokenWriter{})
	if !errors.Is(err, io.ErrClosedPipe) || strings.Count(err.Error(), "closed pipe") != 1 {
		t.Errorf("broken output: got %v, want %v once", err, io.ErrClosedPipe)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestReadTailBlocks lets lines, headers and newlines fall on every side of the borders between blocks.
func TestReadTailBlocks(t *testing.T) {
	var content strings.Builder
	var lines []string
	for i := 0; content.Len() < 3*readSize; i++ {
		line := fmt.Sprint(i, " ", strings.Repeat("x", i*37%211))
		lines = append(lines, line)
		content.WriteString(t1 + "stdout F " + line + "\n")
	}
	directory := writeFiles(t, map[string]string{"0.log": content.String()})
	for n := range len(lines) + 2 {
		var out strings.Builder
		if err := Read(t.Context(), directory, ReadOptions{Tail: n}, &out); err != nil {
			t.Fatal(err)
		}
		want := lines[max(0, len(lines)-n):]
		if got := strings.Count(out.String(), "\n"); got != len(want) || n > 0 && !strings.HasPrefix(out.String(), want[0]) {
			t.Fatalf("tail %d: got %d lines from %.40q, want %d from %.40q", n, got, out.String(), len(want), want[0])
		}
	}
}

// TestReadHugeLine reads a line of 256 MiB, which takes no disk and must take no memory.
func TestReadHugeLine(t *testing.T) {
	for _, test := range []struct {
		size int64
		tail int
	}{{256 << 20, All}, {64 << 20, 1}} {
		directory := writeFiles(t, map[string]string{"0.log": t1 + "stdout F "})
		if err := os.Truncate(Path(directory, 0), test.size); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var out counter
		if err := Read(t.Context(), directory, ReadOptions{Tail: test.tail}, &out); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if got, want := int64(out), test.size-int64(headerWidth); got != want {
			t.Errorf("tail %d: got %d bytes, want %d", test.tail, got, want)
		}
		if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(1<<20); got > limit {
			t.Errorf("tail %d: allocated %d bytes, want at most %d", test.tail, got, limit)
		}
	}
}

type counter int64

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

func TestParseName(t *testing.T) {
	for _, test := range []struct {
		name   string
		want   part
		wantOK bool
	}{
		{"0.log", part{}, true},
		{"12.log.20260102-030405", part{attempt: 12, stamp: 1767323045}, true},
		{"12.log.20260102-030405.gz", part{attempt: 12, stamp: 1767323045, zipped: true}, true},
		{"12.log.20260102-030405.tmp", part{}, false}, // a compression under way
		{"12.log.20260102-030405x", part{}, false},    // not ours
		{"12.log.20261302-030405", part{}, false},     // no month 13
		{"12.log.20260102-030405.0", part{}, false},   // a fraction would parse
		{"12.log.gz", part{}, false},                  // no time
		{"012.log", part{}, false},                    // would be read for attempt 12
		{"+1.log", part{}, false},                     // a sign
		{"99999999999999999999.log", part{}, false},   // no int
		{".log", part{}, false},                       // no number
		{"web.log", part{}, false},                    // no number
		{"1.logs", part{}, false},                     // another suffix
	} {
		got, ok := parseName(test.name)
		if ok {
			test.want.name = test.name
		}
		if got != test.want || ok != test.wantOK {
			t.Errorf("%s: got %+v, %v, want %+v, %v", test.name, got, ok, test.want, test.wantOK)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, seed := range []string{t1 + "stdout F a", t1 + "stderr P:x ", "2026-01-02T05:04:01.5+02:00 stdout F", "", " ", "  F "} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, ok := parseRecord(line)
		if !ok {
			return
		}
		if !bytes.HasPrefix(line, r.stamp) || !bytes.HasSuffix(line, r.text) {
			t.Errorf("%q: time %q and text %q are not of the line", line, r.stamp, r.text)
		}
		if header := len(line) - len(r.text); header > maxHeader {
			t.Errorf("%q: header of %d bytes", line, header)
		}
	})
}

func FuzzParseName(f *testing.F) {
	for _, seed := range []string{"0.log", "1.log.20260102-030405", "1.log.20260102-030405.gz", "1.log.19691231-235959"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		p, ok := parseName(name)
		if !ok {
			return
		}
		again := Path("", p.attempt)
		if p.stamp > 0 {
			again = partPath(again, p.stamp)
		}
		if p.zipped {
			again += ".gz"
		}
		if again != name {
			t.Errorf("%q is the name of %q", name, again)
		}
	})
}

// FuzzRecords prints any bytes through the format and back.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("a\n\nb"), uint16(3))
	f.Add([]byte("\r\n\x00\xff stdout F \n"), uint16(1))
	f.Add(bytes.Repeat([]byte("long "), 4_000), uint16(9000))
	f.Fuzz(func(t *testing.T, src []byte, room uint16) {
		header := appendHeader(nil, Stderr, time.Unix(1, 0))
		var log []byte
		for rest := src; len(rest) > 0; {
			out, used := appendRecords(make([]byte, 0, headerWidth+maxText+1+int(room)), rest, header, true)
			if used == 0 {
				t.Fatalf("nothing of %q fits", rest)
			}
			again, _ := appendRecords(make([]byte, 0, 2*len(out)), rest[:used], header, true)
			if !bytes.Equal(again, out) {
				t.Fatalf("records made again differ: got %q, want %q", again, out)
			}
			log, rest = append(log, out...), rest[used:]
		}
		var got bytes.Buffer
		p := newPrinter(&got, ReadOptions{})
		for lines := (lineReader{src: bytes.NewReader(log)}); ; {
			line, err := lines.next()
			if err != nil {
				break
			}
			p.print(line)
		}
		p.flush()
		if !bytes.Equal(got.Bytes(), src) {
			t.Errorf("got %q, want %q", got.Bytes(), src)
		}
	})
}

// BenchmarkReadShort reads a log of ten lines.
func BenchmarkReadShort(b *testing.B) {
	directory := writeFiles(b, map[string]string{"0.log": strings.Repeat(t1+"stdout F a line of some length\n", 10)})
	for b.Loop() {
		if err := Read(b.Context(), directory, ReadOptions{Attempt: Newest, Tail: All}, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadLong reads a file of 10 MiB.
func BenchmarkReadLong(b *testing.B) {
	line := t1 + "stdout F " + strings.Repeat("x", 99) + "\n"
	directory := writeFiles(b, map[string]string{"0.log": strings.Repeat(line, DefaultMaxBytes/len(line))})
	b.SetBytes(DefaultMaxBytes)
	for b.Loop() {
		if err := Read(b.Context(), directory, ReadOptions{Tail: All}, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
