package logs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newStream makes pipes that are closed with the test.
func newStream(t testing.TB) (*os.File, Pipes) {
	t.Helper()
	write, p, err := NewPipes()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { write.Close(); p.Close() })
	return write, p
}

// newPosition maps slot 0 of a memory of its own.
func newPosition(t testing.TB) *Position {
	t.Helper()
	memory, err := NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	p, err := MapPosition(memory, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func newWriter(t testing.TB, path string, p *Position, o Options) *Writer {
	t.Helper()
	w, err := NewWriter(path, p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// records returns the lines of a file without their times: "stdout F text".
func records(t testing.TB, path string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSuffix(line, "\n")
		if len(line) < headerWidth || !isFixedStamp([]byte(line[:stampWidth])) {
			t.Fatalf("line %q has no header", line)
		}
		lines = append(lines, line[stampWidth+1:])
	}
	return lines
}

func TestCopy(t *testing.T) {
	long := strings.Repeat("x", maxText)
	tests := []struct {
		name, input string
		want        []string
	}{
		{"nothing", "", nil},
		{"lines", "a\n\nb\n", []string{"stdout F a", "stdout F ", "stdout F b"}},
		{"no newline at the end", "a\nb", []string{"stdout F a", "stdout P b"}},
		{"carriage returns stay", "a\r\n", []string{"stdout F a\r"}},
		{"a line of just the limit", long + "\n", []string{"stdout F " + long}},
		{"a line over the limit", long + "y\nz\n", []string{"stdout P " + long, "stdout F y", "stdout F z"}},
		{"a line of twice the limit", long + long + "\n", []string{"stdout P " + long, "stdout F " + long}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c", "0.log")
			write, p := newStream(t)
			w := newWriter(t, path, newPosition(t), Options{})
			go func() {
				io.WriteString(write, test.input)
				write.Close()
			}()
			if err := w.Copy(Stdout, p); err != nil {
				t.Fatal(err)
			}
			got := records(t, path)
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got %.200q, want %.200q", got, test.want)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := info.Mode().Perm(), os.FileMode(0o640); got != want {
				t.Errorf("mode: got %v, want %v", got, want)
			}
		})
	}
}

// BenchmarkCopy copies 200 MB of 100-byte lines in large writes. MB/s are of the container's output; the log is 1.4 times
// as long.
func BenchmarkCopy(b *testing.B) {
	const total = 200_000_000
	block := bytes.Repeat([]byte(strings.Repeat("x", 99)+"\n"), 640)
	b.SetBytes(total)
	for b.Loop() {
		write, p := newStream(b)
		w := newWriter(b, filepath.Join(b.TempDir(), "0.log"), newPosition(b), Options{})
		go func() {
			defer write.Close()
			for n := 0; n < total; {
				m, err := write.Write(block[:min(len(block), total-n)])
				if err != nil {
					b.Error(err)
					return
				}
				n += m
			}
		}()
		if err := w.Copy(Stdout, p); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFile is what a pipe into a file does without any log, to compare BenchmarkCopy with.
func BenchmarkFile(b *testing.B) {
	const total = 200_000_000
	block := bytes.Repeat([]byte("x"), 64000)
	b.SetBytes(total)
	for b.Loop() {
		write, p := newStream(b)
		out, err := os.Create(filepath.Join(b.TempDir(), "file"))
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			defer write.Close()
			for n := 0; n < total; {
				m, err := write.Write(block[:min(len(block), total-n)])
				if err != nil {
					b.Error(err)
					return
				}
				n += m
			}
		}()
		if _, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{p.Source}, make([]byte, 64<<10)); err != nil {
			b.Fatal(err)
		}
		out.Close()
	}
}
