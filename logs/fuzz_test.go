package logs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// FuzzPosition: whatever is in the memory of positions and in the log, a writer
// neither fails for good nor writes past a sane end: what is printed from then on
// is in the log.
func FuzzPosition(f *testing.F) {
	f.Add([]byte{}, "")
	f.Add(make([]byte, slotSize), "2026-01-02T03:04:05.000000006Z stdout F old\n")
	for n := range 4 {
		var s slot
		s.places[0] = place{phase: phase(n), offset: 1 << 40, bytes: -5, stream: 9, rotated: -1}
		f.Add(unsafe.Slice((*byte)(unsafe.Pointer(&s)), unsafe.Sizeof(s)), "cut sho")
	}
	f.Fuzz(func(t *testing.T, damage []byte, log string) {
		dir := t.TempDir()
		path := filepath.Join(dir, "0.log")
		fatal(t, os.WriteFile(path, []byte(log), 0o640))
		memory, err := NewMemory()
		fatal(t, err)
		defer memory.Close()
		_, err = memory.WriteAt(damage[:min(len(damage), int(unsafe.Sizeof(slot{})))], 0)
		fatal(t, err)
		position, err := MapPosition(memory, 0)
		fatal(t, err)
		defer position.Close()
		w, err := NewWriter(path, position, Options{})
		if err != nil {
			return
		}
		defer w.Close()
		end, pipes, err := NewPipes()
		fatal(t, err)
		defer pipes.Close()
		ended := make(chan error, 1)
		go func() { ended <- w.Copy(Stdout, pipes) }()
		end.WriteString("printed now\n")
		end.Close()
		select {
		case err = <-ended:
		case <-time.After(time.Minute):
			t.Fatal("the copy does not end")
		}
		text, rerr := os.ReadFile(path)
		fatal(t, rerr)
		if err == nil && !strings.Contains(string(text), "printed now") {
			t.Errorf("the log holds %q", text)
		}
	})
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
